"""What tools print is told with its call, whatever thread or task prints it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.toolkit.recording import ORIGIN, RecordingHandler
from toolkit.pool import HostPool

TOOLS = '''
import asyncio, logging, subprocess, sys
from toolkit import tool

@tool
def in_a_thread(word: str) -> None:
    """Print."""
    print(word, end="")
    print(" to stderr", file=sys.stderr)
    logging.getLogger("some").warning("by logging")
    print("no end", end="")

@tool
async def on_the_loop(word: str) -> None:
    """Print."""
    print(word)
    await asyncio.to_thread(print, word, "from a thread")
    await asyncio.get_running_loop().run_in_executor(None, print, word, "from the executor")
    await asyncio.create_task(later(word))

async def later(word):
    print(word, "from a task")

@tool(run_in="process")
def in_a_process(word: str) -> None:
    """Print, and let another program print."""
    print(word)
    subprocess.run(["echo", word + " by another program"], check=True)
'''


async def printed(folder: Path, capfd: pytest.CaptureFixture[str], *calls: str) -> list[str]:
    (folder / "tools.py").write_text(TOOLS)
    async with HostPool([folder], log_format="json", environment={"PATH": "/usr/bin:/bin"}) as pool:
        for number, name in enumerate(calls):
            origin = replace(ORIGIN, job=f"job_{number}", step="call:0")
            await pool.call(name, {"word": f"w{number}"}, origin, RecordingHandler())
    return capfd.readouterr().err.splitlines()


async def test_each_line_has_its_call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in await printed(tmp_path, capfd, "in_a_thread", "on_the_loop")]
    assert {(line["job"], line["tool"], line["call"]) for line in lines} == {
        ("job_0", "in_a_thread", "call:0"),
        ("job_1", "on_the_loop", "call:0"),
    }
    assert [line["message"] for line in lines] == [
        "w0 to stderr",
        "by logging",
        "no end",
        *(f"w1{where}" for where in ("", " from a thread", " from the executor", " from a task")),
    ]


async def test_another_program_writes_as_it_likes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line, other = await printed(tmp_path, capfd, "in_a_process")
    assert json.loads(line)["message"] == "w0"
    assert other == "w0 by another program"
