"""MCP over kill -9 of both sides, through the official clients and `scripts/mcp`."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from functools import partial
from pathlib import Path

import httpx
from mcp import ClientSession
from mcp.client.stdio import stdio_client

from tests.api.mcp_client import stdio
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
TASKS_CLIENT = ROOT / "tests" / "api" / "mcp_tasks_client.mjs"
PACKAGES = (
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/ext-tasks@0.2.2",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
)
SECONDS = 60
INSTALL_SECONDS = 180


def words(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))


async def installed() -> Path:
    """Installed once for all test runs of this machine's temporary directory."""
    folder = Path(tempfile.gettempdir()) / f"longhaul-tests-mcp-{PACKAGES[-1].rpartition('@')[2]}"
    for program in ("node", "npm"):
        assert shutil.which(program), f"{program} is missing: install Node.js 20 or newer to test its MCP clients"
    if not (folder / "node_modules" / ".package-lock.json").exists():
        options = ("--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel=error")
        await run("npm", "install", "--prefix", str(folder), *options, *PACKAGES)
        allow_older_node(folder / "node_modules/@modelcontextprotocol/conformance/dist/index.js")
    return folder


def allow_older_node(program: Path) -> None:
    """Node.js 20 has no `fs.globSync`, which a command needs that is not used here."""
    text = program.read_text()
    found = re.search(r"globSync as (\w+),", text)
    if found:
        first, _, rest = text.replace(found[0], "", 1).partition("\n")
        program.write_text(f"{first}\nconst {found[1]}=()=>[];{rest}")


async def run(*command: str, may_fail: bool = False) -> str:
    """What the command prints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(INSTALL_SECONDS):
        out, err = await process.communicate()
    assert may_fail or process.returncode == 0, f"{command[:3]} failed: {err.decode()[-2000:]}"
    return out.decode()


async def test_tasks_and_calls_over_stdio_survive_kill_9_of_everything(
    start_server: StartServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    node_client = str(shutil.copy(TASKS_CLIENT, await installed()))
    server = await start_server()
    first, second = script(tokens=30, hold="10,20"), script(tokens=30, hold="10,20")
    begun = await asyncio.create_subprocess_exec(
        *("node", node_client, "begin", f"{server.url}/mcp", first), stdout=asyncio.subprocess.PIPE
    )
    assert begun.stdout is not None
    reference = (await asyncio.wait_for(begun.stdout.readline(), SECONDS)).decode()
    notices: list[float] = []
    waiting = asyncio.create_task(call_by_stdio(server, second, notices, tmp_path))
    for asked in (first, second):
        await until(partial(sent, endpoint, asked, 10), within=SECONDS, what="the first words")
    begun.kill()
    await begun.wait()
    server.kill_everything()
    await server.start()
    for asked in (first, second):
        endpoint.release(asked)
        endpoint.release(asked)
    resumed = json.loads(await run("node", node_client, "resume", f"{server.url}/mcp", reference))
    assert resumed["content"] == [{"type": "text", "text": words(30)}]
    assert await asyncio.wait_for(waiting, SECONDS) == words(30)
    assert notices == sorted(set(notices))
    async with httpx.AsyncClient(base_url=server.url) as client:
        jobs = (await client.get("/api/jobs")).json()["data"]
    assert sorted(job["attempt"] for job in jobs) == [2, 2]


def sent(endpoint: Endpoint, asked: str, tokens: int) -> bool:
    return any(request.tokens_sent >= tokens for request in endpoint.requests(asked))


async def call_by_stdio(server: Server, asked: str, notices: list[float], folder: Path) -> str:
    async def told(progress: float, total: float | None, message: str | None) -> None:
        notices.append(progress)

    async with (
        stdio_client(stdio(server.url, folder)) as (reading, writing),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        result = await session.call_tool("chat", {"input": asked}, progress_callback=told)
    return str(result.content[0].text)  # type: ignore[union-attr]
