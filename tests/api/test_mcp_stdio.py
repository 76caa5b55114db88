"""`scripts/mcp`: the same server for clients that start a program and speak to it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession
from mcp.client.stdio import stdio_client

from scripts.terminal import mcp
from tests.api.conftest import KEYS
from tests.api.mcp_client import stdio
from tests.endpoint import Endpoint, script
from tests.ports import free_port
from tests.server import Server
from tests.waiting import until

SECONDS = 30
PING = json.dumps({"jsonrpc": "2.0", "id": "größe\ud800", "method": "ping"}).encode()
PLAIN = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


@asynccontextmanager
async def program(url: str, folder: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program, which a test speaks to by hand."""
    parameters = stdio(url, folder, **environment)
    process = await asyncio.create_subprocess_exec(
        *(parameters.command, *parameters.args),
        env=parameters.env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, line: bytes) -> Any:
    """What it answers to the line."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + b"\n")
    return json.loads(await asyncio.wait_for(process.stdout.readline(), SECONDS))


async def test_calls_are_served_at_once_and_one_that_is_cancelled_is_stopped(
    api_server: Server, api_endpoint: Endpoint, tmp_path: Path
) -> None:
    held, quick = script(tokens=9, hold=3), script(tokens=2)
    parameters = stdio(api_server.url, tmp_path, LONGHAUL_API_KEY=KEYS["ada"])
    async with stdio_client(parameters) as (reading, writing), ClientSession(reading, writing) as session:
        await session.initialize()
        waiting = asyncio.create_task(session.call_tool("chat", {"input": held}))
        await until(lambda: api_endpoint.requests(held), within=SECONDS, what="the model call")
        result = await session.call_tool("chat", {"input": quick})
        assert result.content[0].text == "w0 w1 "  # type: ignore[union-attr]
        waiting.cancel()
    [request] = api_endpoint.requests(held)
    await until(lambda: request.disconnected_at, within=SECONDS, what="the end of the call that nobody waits for")


async def test_a_missing_key_is_told_as_a_sentence_that_names_its_variable(api_server: Server, tmp_path: Path) -> None:
    async with program(api_server.url, tmp_path) as process:
        told = await said(process, PING)
        assert (told["id"], "LONGHAUL_API_KEY" in told["error"]["message"]) == (json.loads(PING)["id"], True)
        assert (await said(process, b"{"))["error"]["code"] == -32700


async def test_it_ends_when_its_client_closes_it(api_server: Server, tmp_path: Path) -> None:
    async with program(api_server.url, tmp_path, LONGHAUL_API_KEY=KEYS["ada"]) as process:
        assert (await said(process, PLAIN))["result"] == {}
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), SECONDS) == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def test_a_server_that_is_not_there_is_told_at_once_in_the_log_and_after_a_while_to_the_client(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mcp, "ABSENT_SECONDS", 0.3)
    out = io.BytesIO()

    async def typed() -> AsyncIterator[bytes]:
        yield PING
        await until(out.getvalue, within=SECONDS, what="an answer")

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port()}") as client:
        await mcp.Bridge(client, out).run(typed())
    assert json.loads(out.getvalue())["error"]["message"].startswith("The server does not answer")
    assert capsys.readouterr().err.count("Trying again.") == 1
