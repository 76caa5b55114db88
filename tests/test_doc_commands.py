"""Every command of the README and the docs is run: here, in its order, or by the test of what it starts."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.server import START_SECONDS
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120
ELSEWHERE = {
    "./scripts/test": "scripts/test",
    "export LONGHAUL_USERS_FILE=users.txt": "tests/accounts",
    "./scripts/add-user": "tests/test_add_user.py",
    "export LONGHAUL_API_KEYS_FILE=keys.txt": "tests/test_keys.py",
    "./scripts/keys": "tests/test_keys.py",
    "./scripts/user": "tests/test_user_data.py",
    "./scripts/soak": "tests/soak/test_soak.py",
    ".venv/bin/python -m benchmarks.publish": "tests/test_benchmarks_growth.py",
    ".venv/bin/python -m benchmarks": "tests/test_benchmarks.py",
    ".venv/bin/python -m tests.answers": "tests/answers/test_answers.py",
    "./scripts/cluster": "tests/test_cluster.py",
    ".venv/bin/pytest tests/chaos": "tests/chaos/test_chaos.py",
    "./scripts/new-tool": "tests/test_new_tool.py",
    "./scripts/new-agent": "tests/test_new_agent.py",
    "./scripts/install --dev": "tests/test_new_tool.py",
    "./scripts/install": "tests/test_install.py",
    'echo "-r ../shop/requirements.txt"': "tests/test_install.py",
    "export LONGHAUL_TOOL_DIRS=": "tests/test_repositories.py",
    "cd ../shop": "tests/test_repositories.py",
    "./scripts/run": "tests/test_doc_commands.py",
    "./scripts/real-model": "tests/real_model/test_script.py",
}
"""Commands that another test runs, or runs in a form that takes less time."""
IDLE = "The process was idle meanwhile"
"""What a profile may say of a server that nobody uses."""
NOT_OURS = ("OPENAI_API_KEY=…", "OPENAI_BASE_URL=", "OLLAMA_CONTEXT_LENGTH=", "ollama ", "vllm ", "claude ")
"""Commands that need somebody else's product; docs/models.md and docs/mcp.md leave them to it."""
README = ROOT / "README.md"
OTHERS = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name != "api.md")  # that has a test of its own


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^ *```(?:sh|bash)\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [command for line in lines if (command := re.split(r"(?:^|\s+)#", line.strip())[0])]


def is_run_elsewhere(command: str) -> bool:
    return command.startswith((*ELSEWHERE, *NOT_OURS))


class Reader:
    """Somebody who types what the README says, with a port and a data directory of their own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.data = folder / "data"
        self.job = ""
        self.folder = folder
        for entry in ROOT.iterdir():
            if entry.name not in {".data", ".git", ".files"}:
                (folder / entry.name).symlink_to(entry)  # what commands write stays in the folder
        self._environment = os.environ | {"LONGHAUL_DATA_DIR": str(self.data), "HOME": str(folder)}

    def as_typed(self, command: str) -> str:
        changed = command.replace("localhost:8000", f"localhost:{self.port}").replace(".data/", f"{self.data}/")
        changed = changed.replace("scripts/jobs run", f"scripts/jobs run --url http://localhost:{self.port}")
        changed = re.sub(r"(profile \w+) \d+", r"\1 2", changed)  # seconds
        return changed.replace("JOB_ID", self.job).replace("run app.py", f"run app.py .*{self.port}")

    async def type(self, command: str) -> str:
        """Returns what the command prints."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", self.as_typed(command)),
            cwd=self.folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 0 or IDLE in said.decode(), (command, said.decode())
        return said.decode()

    @asynccontextmanager
    async def running(self, command: str) -> AsyncIterator[None]:
        """Runs the server until the block ends, or somebody kills it."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", f"exec {command} --port {self.port}"),
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            self.server = process
            await until(self.workers, within=START_SECONDS, what="a worker is ready")
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), SECONDS)

    async def workers(self) -> bool:
        assert self.server.returncode is None, "the server has ended"
        return await self.serves() and bool(self.locks())

    async def serves(self) -> bool:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as client:
            try:
                return bool((await client.get("/readyz")).json().get("workers"))
            except httpx.TransportError:
                return False

    def locks(self) -> set[str]:
        return {lock.read_text() for lock in (self.data / "workers").glob("*.lock")}


async def test_every_command_of_the_readme_and_the_docs_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    start = "./scripts/run"
    assert start in commands(README)
    kill_worker, kill_server, submit, follow, run_tool = [one for one in commands(README) if not is_run_elsewhere(one)]
    async with reader.running(start):
        before = reader.locks()
        await reader.type(kill_worker)
        await until(lambda: reader.locks() - before, within=START_SECONDS, what="another worker")
        await until(reader.serves, within=START_SECONDS, what="the other worker is ready")
        await reader.type(kill_server)
        await until(lambda: gone(reader), within=START_SECONDS, what="the server is gone")
    async with reader.running(start):
        reader.job = json.loads(await reader.type(submit))["id"]
        assert "event: job.completed" in await reader.type(follow)
        assert "[p. " in await reader.type(run_tool)
        for page in OTHERS:
            for command in commands(page):
                if not is_run_elsewhere(command):
                    await reader.type(command)


def test_commands_that_are_run_elsewhere_are_run_there() -> None:
    for place in ELSEWHERE.values():
        assert (ROOT / place).exists(), place


async def gone(reader: Reader) -> bool:
    return not await reader.serves()
