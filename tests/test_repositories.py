"""docs/repositories.md cannot lie: a repository made of its files runs in a real server, and its tests pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import model_environment
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "repositories.md").read_text()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The page's repository, with Longhaul beside it."""
    for name, content in re.findall(r"^```\w+\n# (shop/\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (tmp_path / "longhaul").symlink_to(ROOT)
    return tmp_path / "shop"


async def test_its_tool_and_its_agent_run_in_the_server(shop: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    environment = model_environment(endpoint) | {
        "LONGHAUL_TOOL_DIRS": f"tools:{shop / 'tools'}",
        "LONGHAUL_AGENT_DIRS": f"agents:{shop / 'agents'}",
    }
    server = Server(folder, environment)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            called = {"task": "stock", "arguments": {"article": "lamp"}}
            answer = (await http.post("/api/jobs", json=called)).json()
            asked = {"model": "shopkeeper", "messages": [{"role": "user", "content": lamps()}]}
            said = (await http.post("/v1/chat/completions", json=asked)).json()
            result = await ended(http, answer["id"])
        assert (result["status"], result["result"]) == ("completed", 3)
        assert said["choices"][0]["message"]["content"].endswith("The tool answered: 3 w0 ")
    finally:
        server.stop()
    server.check_log()


async def ended(http: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = {}

    async def is_over() -> bool:
        job.update((await http.get(f"/api/jobs/{job_id}")).json())
        return str(job["status"]) == "completed"

    await until(is_over, within=60, what="the tool has run")
    return job


def lamps() -> str:
    return script('call stock {"article": "lamp"}', tokens=1)


def test_its_tests_run_with_longhaul_s_environment(shop: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=shop, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_all_files_that_the_page_lists_are_shown(shop: Path) -> None:
    (tree,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for name in re.findall(r"^  (\S+)$", tree, re.MULTILINE):
        assert (shop / name).exists() or name == "requirements.txt"
