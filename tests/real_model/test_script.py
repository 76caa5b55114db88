"""scripts/real-model itself: whom it serves, when it ends, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.ports import free_port
from tests.real_model.serving import CONTEXT_TOKENS, SCRIPT, RealModel
from tests.waiting import until

ENDING_SECONDS = 30


async def run(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    def runs() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(script), *arguments],
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return await asyncio.to_thread(runs)


async def test_a_command_is_told_the_model_and_takes_it_along_at_its_end(model: RealModel) -> None:
    port = free_port()
    asking = 'echo "$OPENAI_BASE_URL $LONGHAUL_CONTEXT_TOKENS"; exit 7'
    ended = await run(SCRIPT, str(port), str(CONTEXT_TOKENS), "--", "sh", "-c", asking)
    assert ended.stdout == f"http://127.0.0.1:{port}/v1 {CONTEXT_TOKENS // 2}\n"
    assert ended.returncode == 7
    await until(lambda: is_free(port), within=ENDING_SECONDS, what="the model's server ends")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_a_taken_port_is_refused_in_one_line(model: RealModel) -> None:
    refused = await run(SCRIPT, str(model.port))
    assert refused.returncode == 1
    assert refused.stderr == f"Port {model.port} is taken: name another one, scripts/real-model PORT\n"


async def test_a_missing_compiler_is_told_in_one_line_before_anything_is_made(tmp_path: Path) -> None:
    elsewhere = tmp_path / "scripts" / SCRIPT.name
    elsewhere.parent.mkdir()
    shutil.copy(SCRIPT, elsewhere)
    refused = await run(elsewhere, CXX="no-such-compiler")
    assert refused.returncode == 1
    assert "needs a C and a C++ compiler" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["scripts"]
