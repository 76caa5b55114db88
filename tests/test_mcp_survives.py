"""MCP over kill -9 of both sides, through the official clients and `scripts/mcp`; and the official conformance."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from mcp import ClientSession
from mcp.client.stdio import stdio_client

from tests.api.mcp_client import stdio
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tests" / "api" / "mcp_tools"
TASKS_CLIENT = ROOT / "tests" / "api" / "mcp_tasks_client.mjs"
PACKAGES = (
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/ext-tasks@0.2.2",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
)
SECONDS = 60
INSTALL_SECONDS = 180

SCENARIOS: Mapping[str, frozenset[str]] = {
    "server-initialize": frozenset(),
    "tools-call-simple-text": frozenset(),
    "tools-call-error": frozenset(),
    "tools-call-with-progress": frozenset(),
    "dns-rebinding-protection": frozenset(),
    "http-header-validation": frozenset(),
    # Its other checks call tools that ask back, log, or come and go.
    "server-stateless": frozenset(
        {
            "sep-2575-server-rejects-undeclared-capability",
            "sep-2575-missing-capability-http-400",
            "sep-2575-http-server-no-independent-requests-on-stream",
            "sep-2575-server-no-log-without-loglevel",
        }
    ),
    "tasks-lifecycle": frozenset({"sep-2663-tasks-get-status-failed"}),  # a tool that breaks the protocol
    "tasks-capability-negotiation": frozenset(),
    "tasks-wire-fields": frozenset(),
    "tasks-request-headers": frozenset(),
    "tasks-request-state-removal": frozenset(),
    "tasks-dispatch-and-envelope": frozenset({"tasks-result-type-complete-on-non-task-responses"}),  # a tool that asks
}
"""Scenarios that apply to a server with tools and tasks → their checks that do not."""


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


async def test_the_official_conformance_scenarios_for_tools_and_tasks_pass(
    start_server: StartServer, tmp_path: Path
) -> None:
    program = await installed() / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    server = await start_server(LONGHAUL_TOOL_DIRS=str(TOOLS))
    turns = asyncio.Semaphore(4)

    async def failed(scenario: str) -> set[str]:
        folder = tmp_path / scenario
        async with turns:
            url = f"{server.url}/mcp"
            options = ("--url", url, "--scenario", scenario, "--output-dir", str(folder))
            await run("node", str(program), "server", *options, may_fail=True)
        [report] = folder.rglob("checks.json")
        checks: list[dict[str, Any]] = json.loads(report.read_text())
        assert any(check["status"] == "SUCCESS" for check in checks), scenario
        return {check["id"] for check in checks if check["status"] == "FAILURE"}

    found = dict(zip(SCENARIOS, await asyncio.gather(*map(failed, SCENARIOS)), strict=True))
    assert found == SCENARIOS
