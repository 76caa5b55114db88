"""`/api/ui`: what the AI SDK sends and reads, over HTTP."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.api.events import events_of
from tests.endpoint import Endpoint, script
from tests.waiting import until

SECONDS = 30


def message(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"id": "m", "role": role, "parts": [{"type": "text", "text": text}], **more}


async def read(response: httpx.Response, at_most: int | None = None) -> list[Any]:
    """The data of the stream, up to the end or a cut."""
    got: list[Any] = []
    async for event in events_of(response):
        got.append(event.data)
        if len(got) == at_most:
            break
    return got


async def ask(client: httpx.AsyncClient, *messages: dict[str, Any], **body: Any) -> tuple[httpx.Response, list[Any]]:
    async with client.stream("POST", "/api/ui/chat", json={"messages": messages, **body}) as response:
        return response, await read(response)


async def rejoin(client: httpx.AsyncClient, path: str, start: int) -> tuple[httpx.Response, list[Any]]:
    async with client.stream("GET", f"/api/ui/{path}/stream", params={"startIndex": start}) as response:
        return response, await read(response)


async def test_an_answer_is_streamed_and_any_part_of_it_again_by_number(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    response, told = await ask(ada, message("tokens=5"))
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert "".join(chunk.get("delta", "") for chunk in told[:-1]) == "w0 w1 w2 w3 w4 "
    assert told[-1] == "[DONE]"
    run = response.headers["x-workflow-run-id"]
    assert (await ada.get(f"/api/jobs/{run}")).json()["status"] == "completed"
    for start in (0, 1, 4, len(told) - 1, 10_000):
        assert (await rejoin(ada, f"runs/{run}", start))[1] == [*told[:-1][start:], "[DONE]"]
    for start in (-1, -3, -10_000):
        response, tail = await rejoin(ada, f"runs/{run}", start)
        assert tail == [*told[:-1][start:], "[DONE]"]
        assert response.headers["x-workflow-stream-tail-index"] == str(len(told) - 2)
    assert (await bob.get(f"/api/ui/runs/{run}/stream")).status_code == 404
    assert (await bob.get(f"/api/ui/chat/{run}/stream")).status_code == 204


async def test_leaving_stops_nothing_and_a_chat_finds_its_running_job(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    asked = script(tokens=8, hold=4)
    body = {"messages": [message(asked)], "id": asked}
    async with ada.stream("POST", "/api/ui/chat", json=body) as response:
        run, begun = response.headers["x-workflow-run-id"], await read(response, at_most=3)
    address = httpx.URL(f"/api/ui/chat/{asked}/stream")
    assert (await bob.get(address)).status_code == 204
    assert (await ada.get("/api/ui/chat/another/stream")).status_code == 204
    async with ada.stream("GET", address) as response:
        assert response.headers["x-workflow-run-id"] == run
        api_endpoint.release(asked)
        told = await read(response)
    assert told[:3] == begun
    assert "".join(chunk.get("delta", "") for chunk in told[:-1]) == "".join(f"w{number} " for number in range(8))
    assert (await ada.get(address)).status_code == 204
    assert len(api_endpoint.requests(asked)) == 1


async def test_a_stop_is_told_and_ends_the_stream(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    asked = script(tokens=8, hold=4)
    async with ada.stream("POST", "/api/ui/chat", json={"messages": [message(asked)]}) as response:
        await until(lambda: api_endpoint.requests(asked), within=SECONDS, what="the model call")
        assert (await ada.post(f"/api/jobs/{response.headers['x-workflow-run-id']}/cancel")).status_code == 202
        told = await read(response)
    assert [chunk["type"] for chunk in told[-3:-1]] == ["abort", "finish"]


async def test_the_conversation_and_the_files_reach_the_model(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    note = "data:text/plain;base64," + base64.b64encode(b"The word is heron.").decode()
    file = {"type": "file", "mediaType": "text/plain", "filename": "note.txt", "url": note}
    asked = script(tokens=1)
    question = message(asked)
    question["parts"].append(file)
    tool = {"type": "dynamic-tool", "toolName": "t", "toolCallId": "c", "state": "output-available", "input": {}}
    answer = message("Before.", "assistant")
    answer["parts"].insert(0, tool)
    response, _ = await ask(ada, message("Be brief.", "system"), message("First?"), answer, question)
    [request] = api_endpoint.requests(asked)
    said = [(one["role"], one["content"]) for one in request.messages if isinstance(one["content"], str)]
    assert ("user", "First?") in said
    assert ("assistant", "Before.") in said
    assert "note.txt" in json.dumps(request.messages)
    files = (await ada.get("/api/files")).json()["data"]
    assert files[0]["name"] == "note.txt"
    assert response.status_code == 200


async def test_the_workflow_transports_untyped_body_and_an_idempotency_key_are_taken(ada: httpx.AsyncClient) -> None:
    body = json.dumps({"messages": [message(script(tokens=1))]})
    headers = {"Content-Type": "text/plain;charset=UTF-8", "Idempotency-Key": body[-60:]}
    first, second = [await ada.post("/api/ui/chat", content=body, headers=headers) for _ in range(2)]
    assert first.status_code == 200
    assert first.headers["x-workflow-run-id"] == second.headers["x-workflow-run-id"]
    assert first.content.replace(b": ping\n\n", b"") == second.content.replace(b": ping\n\n", b"")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": []}, "messages"),
        ({}, "messages"),
        ({"messages": [message("Hello", "assistant")]}, "messages"),
        ({"messages": [message(" ")]}, "messages"),
        ({"messages": [{"role": "user", "parts": "Hello"}]}, "messages.0.parts"),
        ({"messages": [message("Hello", "robot")]}, "messages.0.role"),
        (
            {"messages": [{"role": "user", "parts": [{"type": "file", "url": "https://a.example/b.png"}]}]},
            "messages: send files as data URLs",
        ),
        ({"messages": [{"role": "user", "parts": [{"type": "file", "url": "data:a/b;base64,!"}]}]}, "messages"),
    ],
)
async def test_what_is_no_question_is_refused_with_its_field(
    ada: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    refused = await ada.post("/api/ui/chat", json=body)
    assert refused.status_code == 422
    assert refused.json()["error"]["message"].startswith(field)


async def test_strangers_other_types_and_unknown_runs_are_refused(
    ada: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    assert (await stranger.post("/api/ui/chat", json={})).status_code == 401
    assert (await stranger.get("/api/ui/runs/job_0/stream")).status_code == 401
    assert (await ada.post("/api/ui/chat", content=b"{}", headers={"Content-Type": "text/xml"})).status_code == 415
    assert (await ada.get("/api/ui/runs/job_0/stream")).status_code == 404
    assert (await ada.get("/api/ui/runs/job_0/stream?startIndex=x")).status_code == 422
