"""Every command of the README is run, in its order, against the server that its first command starts."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.server import START_SECONDS, free_port
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120
RUN_ELSEWHERE = {
    "./scripts/test": "runs this very test",
    "OPENAI_BASE_URL=http://localhost:11434/v1 LONGHAUL_MODEL=qwen3 ./scripts/run": "as the first, with an endpoint",
}


def commands() -> list[str]:
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = [re.split(r"\s+#", line.strip())[0] for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#") and line not in RUN_ELSEWHERE]


class Reader:
    """Somebody who types what the README says, with a port and a data directory of their own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.data = folder / "data"
        self.job = ""
        self._environment = os.environ | {"LONGHAUL_DATA_DIR": str(self.data), "HOME": str(folder)}

    def as_typed(self, command: str) -> str:
        changed = command.replace("localhost:8000", f"localhost:{self.port}").replace(".data/", f"{self.data}/")
        changed = changed.replace("scripts/jobs run", f"scripts/jobs run --url http://localhost:{self.port}")
        return changed.replace("JOB_ID", self.job).replace("app.py", f"app.py .*{self.port}")

    async def type(self, command: str) -> str:
        """Returns what the command prints."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", self.as_typed(command)),
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 0, (command, said.decode())
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
            await until(self.workers, within=START_SECONDS, what="a worker is ready")
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), SECONDS)

    async def workers(self) -> bool:
        return await self.serves() and bool(self.locks())

    async def serves(self) -> bool:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as client:
            try:
                return bool((await client.get("/readyz")).json().get("workers"))
            except httpx.TransportError:
                return False

    def locks(self) -> set[str]:
        return {lock.read_text() for lock in (self.data / "workers").glob("*.lock")}


async def test_every_command_of_the_readme_does_what_it_says(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    start, kill_worker, kill_server, submit, follow, run_tool = commands()
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


async def gone(reader: Reader) -> bool:
    return not await reader.serves()
