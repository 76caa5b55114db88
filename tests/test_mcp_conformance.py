"""The scenarios of the official conformance suite (npm: @modelcontextprotocol/conformance)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import StartServer
from tests.test_mcp_survives import ROOT, installed, run

TOOLS = ROOT / "tests" / "api" / "mcp_tools"
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
