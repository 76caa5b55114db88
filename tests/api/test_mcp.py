"""`/mcp`: what any MCP client may do, with keys set up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from api.mcp.messages import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    MISSING_CAPABILITY,
    NO_METHOD,
    UNSUPPORTED_VERSION,
)
from tests.api.conftest import client_of
from tests.api.mcp_client import ENDED, call, look, read, request_of, rpc
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

SECONDS = 30


@asynccontextmanager
async def session_of(server: Server, user: str) -> AsyncIterator[ClientSession]:
    """The official client for Python, which begins with `initialize`."""
    async with (
        client_of(server, user) as client,
        streamable_http_client(f"{server.url}/mcp", http_client=client) as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        await session.initialize()
        yield session


def text_of(content: Any) -> str:
    assert isinstance(content, TextContent)
    return content.text


async def test_the_python_client_lists_the_chat_and_every_tool_with_its_schema(
    api_server: Server, ada: httpx.AsyncClient
) -> None:
    async with session_of(api_server, "ada") as session:
        listed = {tool.name: tool for tool in (await session.list_tools()).tools}
    catalogue = {tool["name"]: tool for tool in (await ada.get("/api/tools")).json()["data"]}
    assert listed.keys() == {"chat", "assistant", *catalogue}
    for answering in ("chat", "assistant"):
        assert listed[answering].inputSchema["required"] == ["input"]
    for name, tool in catalogue.items():
        assert listed[name].description == tool["description"]
        assert listed[name].inputSchema == {"type": "object", **tool["parameters"]}


async def test_the_python_client_gets_results_progress_and_refusals_that_a_model_can_read(api_server: Server) -> None:
    told: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        assert message
        told.append((progress, total))

    async with session_of(api_server, "ada") as session:
        answer = await session.call_tool("chat", {"input": "tokens=3"})
        run = await session.call_tool("simulate_portfolio", {"years": 2}, progress_callback=on_progress)
        wrong = await session.call_tool("simulate_portfolio", {"years": "x"})
        empty = await session.call_tool("chat", {"input": ""})
        with pytest.raises(McpError, match="no tool 'nothing'"):
            await session.call_tool("nothing", {})
    assert (text_of(answer.content[0]), answer.isError) == ("w0 w1 w2 ", False)
    assert run.structuredContent is not None
    assert json.loads(text_of(run.content[0])) == run.structuredContent
    assert told == sorted(set(told))
    assert told[-1] == (2, 2)
    assert (text_of(wrong.content[0]), wrong.isError) == ("arguments.years: Must be a whole number.", True)
    assert (empty.isError, "arguments.input" in text_of(empty.content[0])) == (True, True)


async def test_an_artifact_is_a_link_that_its_owner_can_fetch(ada: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    link, *_ = [one for one in (await call(ada, "draw"))["content"] if one["type"] == "resource_link"]
    fetched = await ada.get(link["uri"])
    assert (fetched.status_code, len(fetched.content)) == (200, link["size"])
    assert (await bob.get(link["uri"])).status_code == 404


async def test_a_quick_call_has_its_result_at_once_and_a_long_one_becomes_a_task(
    ada: httpx.AsyncClient, tmp_path: Path
) -> None:
    quick = await call(ada, "quote", text="a word")
    assert quick["resultType"] == "complete"
    note: dict[str, Any] = {"file": str(tmp_path / "notes"), "text": "a", "seconds": 2}
    task = await call(ada, "note_slowly", **note)
    assert (task["resultType"], task["status"], task["ttlMs"]) == ("task", "working", None)
    job = (await ada.get(f"/api/jobs/{task['taskId']}")).json()
    assert (job["task"], job["status"]) == ("note_slowly", "in_progress")
    ended = await until(lambda: ended_task(ada, task["taskId"]), within=SECONDS, what="the task's end")
    assert (ended["resultType"], ended["status"], ended["result"]["isError"]) == ("complete", "completed", False)
    job = (await ada.get(f"/api/jobs/{task['taskId']}")).json()
    assert ended["result"]["content"][0]["text"] == job["result"]


async def ended_task(client: httpx.AsyncClient, task_id: str) -> Any:
    task = await look(client, task_id)
    return task if task["status"] in ENDED else None


async def test_a_caller_without_tasks_waits_and_may_not_ask_for_them(ada: httpx.AsyncClient, tmp_path: Path) -> None:
    note: dict[str, Any] = {"file": str(tmp_path / "notes"), "text": "a", "seconds": 1.2}
    assert (await call(ada, "note_slowly", tasks=False, **note))["resultType"] == "complete"
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        refused = await rpc(ada, method, {"taskId": "job_x", "inputResponses": {}}, tasks=False)
        assert (refused.status, refused.code) == (400, MISSING_CAPABILITY)


async def test_a_failed_call_is_told_to_the_model_and_not_to_the_protocol(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    asked = script("status=400")
    result = await call(ada, "chat", input=asked)
    assert result["isError"] is True
    assert "test-model" in result["content"][0]["text"] or result["content"][0]["text"].endswith(".")


async def test_a_task_is_cancelled_and_its_model_call_with_it(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    asked = script(tokens=20, hold=5)
    task = await call(ada, "chat", input=asked)
    assert (await rpc(ada, "tasks/update", {"taskId": task["taskId"], "inputResponses": {"x": {}}})).result == {
        "resultType": "complete"
    }
    assert (await rpc(ada, "tasks/cancel", {"taskId": task["taskId"]})).result == {"resultType": "complete"}
    ended = await until(lambda: ended_task(ada, task["taskId"]), within=SECONDS, what="the task's end")
    assert (ended["status"], "result" in ended) == ("cancelled", False)
    [request] = api_endpoint.requests(asked)
    await until(lambda: request.disconnected_at, within=SECONDS, what="the end of the model call")


async def test_the_task_of_another_user_is_not_found(ada: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    job = (await ada.post("/api/jobs", json={"task": "quote", "arguments": {}})).json()
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        params = {"taskId": job["id"], "inputResponses": {}}
        foreign, missing = await rpc(bob, method, params), await rpc(bob, method, params | {"taskId": "job_0"})
        assert foreign.code == missing.code == INVALID_PARAMS
    assert (await look(ada, job["id"]))["taskId"] == job["id"]


async def test_who_leaves_a_call_stops_it_and_who_has_a_key_for_it_comes_back_to_it(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    left, kept = script(tokens=20, hold=5), script(tokens=20, hold=5)
    for asked, key in ((left, {}), (kept, {"Idempotency-Key": kept})):
        body, headers = request_of("tools/call", {"name": "chat", "arguments": {"input": asked}}, tasks=False)
        async with ada.stream("POST", "/mcp", json=body, headers=headers | key):
            await until(partial(api_endpoint.requests, asked), within=SECONDS, what="the model call")
    [request] = api_endpoint.requests(left)
    await until(lambda: request.disconnected_at, within=SECONDS, what="the end of the call that was left")
    api_endpoint.release(kept)
    again = read(await ada.post("/mcp", json=body, headers=headers | key))
    assert again.result["content"][0]["text"] == "".join(f"w{number} " for number in range(20))
    assert len(api_endpoint.requests(kept)) == 1


async def test_an_older_client_cancels_by_a_notification_and_leaves_without_stopping_anything(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    session, asked = await old_session(ada), script(tokens=20, hold=5)
    params = {"name": "chat", "arguments": {"input": asked}}
    body = {"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params}
    async with ada.stream("POST", "/mcp", json=body, headers=session) as response:
        job_id = response.headers["x-job-id"]
    assert (await ada.get(f"/api/jobs/{job_id}")).json()["status"] in {"queued", "in_progress"}
    stop = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "a"}}
    assert (await ada.post("/mcp", json=stop, headers=session)).status_code == 202
    await until(lambda: has_status(ada, job_id, "cancelled"), within=SECONDS, what="the job's end")


async def test_an_older_clients_stream_goes_on_where_it_was_cut(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    session, asked = await old_session(ada), script(tokens=10, hold=5)
    params = {"name": "chat", "arguments": {"input": asked}, "_meta": {"progressToken": "p"}}
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    async with ada.stream("POST", "/mcp", json=body, headers=session) as response:
        lines = response.aiter_lines()
        number = (await anext(lines)).removeprefix("id: ")
    api_endpoint.release(asked)
    headers = session | {"Last-Event-ID": number}
    rest = read(await ada.get("/mcp", headers=headers))
    assert rest.messages[-1]["id"] == 7
    assert rest.result["content"][0]["text"] == "".join(f"w{number} " for number in range(10))
    assert [one["params"]["progressToken"] for one in rest.messages[:-1]] == ["p"]
    lines_again = (await ada.get("/mcp", headers=headers)).text.splitlines()
    _, behind, *_ = [line.removeprefix("id: ") for line in lines_again if line.startswith("id: ")]
    assert read(await ada.get("/mcp", headers=session | {"Last-Event-ID": behind})).messages == rest.messages[-1:]
    assert (await bob.get("/mcp", headers=headers)).status_code == 404
    assert (await ada.get("/mcp", headers=session)).status_code == 405
    for wrong in ("[1]", "{", "", '["\\ud800",1,1,1]', '["job_1","1",1,1]', "[" * 5000):
        assert (await ada.get("/mcp", headers=session | {"Last-Event-ID": wrong})).status_code == 405, wrong


async def old_session(client: httpx.AsyncClient) -> dict[str, str]:
    """Returns the headers of a client that has begun with `initialize`."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    begun = await client.post("/mcp", json={"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
    return {"Mcp-Session-Id": begun.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}


async def has_status(client: httpx.AsyncClient, job_id: str, status: str) -> bool:
    return bool((await client.get(f"/api/jobs/{job_id}")).json()["status"] == status)


async def test_a_subscription_tells_of_the_end_of_its_tasks_and_of_no_other_users(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    asked = script(tokens=6, hold=3)
    task_id = (await call(ada, "chat", input=asked))["taskId"]
    params = {"notifications": {"taskIds": [task_id, "job_0"]}}
    listening = asyncio.create_task(rpc(ada, "subscriptions/listen", params))
    foreign = await rpc(bob, "subscriptions/listen", params)
    assert [one.get("method") for one in foreign.messages] == ["notifications/subscriptions/acknowledged", None]
    assert foreign.messages[0]["params"]["notifications"] == {"taskIds": []}
    api_endpoint.release(asked)
    told = (await listening).messages
    assert told[0]["params"]["notifications"] == {"taskIds": [task_id]}
    assert [one["params"]["status"] for one in told[1:-1]][-1] == "completed"
    assert told[-2]["params"]["result"]["content"][0]["text"] == "w0 w1 w2 w3 w4 w5 "


async def test_strangers_and_foreign_pages_are_refused(stranger: httpx.AsyncClient, ada: httpx.AsyncClient) -> None:
    refused = await rpc(stranger, "tools/list")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert (refused.code, refused.messages[0]["jsonrpc"]) == (INVALID_REQUEST, "2.0")
    body, headers = request_of("tools/list", {}, tasks=True)
    foreign = await ada.post("/mcp", json=body, headers=headers | {"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    allowed = await ada.post("/mcp", json=body, headers=headers | {"Origin": "https://pages.example"})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://pages.example")


@pytest.mark.parametrize(
    ("change", "headers", "status", "code"),
    [
        ({"method": "resources/list"}, {"Mcp-Method": "resources/list"}, 404, NO_METHOD),
        ({"method": "initialize"}, {"Mcp-Method": "initialize"}, 404, NO_METHOD),
        ({}, {"Mcp-Method": "ping"}, 400, HEADER_MISMATCH),
        ({}, {"MCP-Protocol-Version": "2025-11-25"}, 400, HEADER_MISMATCH),
        ({"params": {}}, {}, 400, INVALID_PARAMS),
        ({"params": {}}, {"MCP-Protocol-Version": "1900-01-01"}, 400, UNSUPPORTED_VERSION),
        ({"params": []}, {}, 400, INVALID_PARAMS),
        ({"id": None}, {}, 400, INVALID_REQUEST),
        ({"id": 1.5}, {}, 400, INVALID_REQUEST),
        ({"jsonrpc": "1.0"}, {}, 400, INVALID_REQUEST),
        ({"method": 1}, {}, 400, INVALID_REQUEST),
    ],
)
async def test_a_wrong_request_is_refused_by_the_protocols_own_codes(
    ada: httpx.AsyncClient, change: dict[str, Any], headers: dict[str, str], status: int, code: int
) -> None:
    body, known = request_of("tools/list", {}, tasks=True)
    refused = read(await ada.post("/mcp", json=body | change, headers=known | headers))
    assert (refused.status, refused.code) == (status, code)


async def test_what_is_no_message_is_refused(ada: httpx.AsyncClient) -> None:
    for content, code in ((b"[]", -32600), (b"{", -32700), (b"", -32600), (b"null", -32600), (b'"a"', -32600)):
        refused = read(await ada.post("/mcp", content=content, headers={"Content-Type": "application/json"}))
        assert (refused.status, refused.code) == (400, code), content
    assert (await ada.post("/mcp", content=b"{}", headers={"Content-Type": "text/plain"})).status_code == 415
    assert (await ada.delete("/mcp")).status_code == 405


async def test_names_that_a_header_cannot_carry_are_encoded(ada: httpx.AsyncClient) -> None:
    body, headers = request_of("tools/call", {"name": "größe", "arguments": {}}, tasks=True)
    for value, code in (("=?base64?Z3LDtsOfZQ==?=", INVALID_PARAMS), ("=?base64?YQ==?=", HEADER_MISMATCH)):
        answer = read(await ada.post("/mcp", json=body, headers=headers | {"Mcp-Name": value}))
        assert answer.code == code
    assert read(await ada.post("/mcp", json=body, headers=headers | {"Mcp-Name": "=?base64?!?="})).code == (
        HEADER_MISMATCH
    )
