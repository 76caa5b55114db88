"""`POST /v1/chat/completions` as a program calls it: a real server, real HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import orjson
import pytest

from tests.api.events import Event, events_of
from tests.endpoint import Endpoint, script
from tests.waiting import until

ADDRESS = "/v1/chat/completions"
MODEL = "test-model"
SOON_SECONDS = 5


def asking(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


async def whole(client: httpx.AsyncClient, text: str, **fields: Any) -> dict[str, Any]:
    answer = await client.post(ADDRESS, json=asking(text, **fields))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def streamed(client: httpx.AsyncClient, text: str, **fields: Any) -> list[Event]:
    async with client.stream("POST", ADDRESS, json=asking(text, stream=True, **fields)) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in events_of(response)]


def words(events: list[Event]) -> str:
    chunks = [event.data for event in events if event.data != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", []))


async def test_a_whole_answer_is_a_chat_completion_with_usage(ada: httpx.AsyncClient) -> None:
    answer = await ada.post(ADDRESS, json=asking("tokens=3"))
    assert answer.headers["content-type"] == "application/json"
    body, job = answer.json(), answer.headers["x-job-id"]
    assert body["id"] == f"chatcmpl-{job.removeprefix('job_')}"
    assert (body["object"], body["model"]) == ("chat.completion", MODEL)
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "w0 w1 w2 ", "refusal": None}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + 3
    assert (await ada.get(f"/api/jobs/{job}")).json()["status"] == "completed"


async def test_a_stream_is_role_words_reason_done(ada: httpx.AsyncClient) -> None:
    events = await streamed(ada, "tokens=3 rate=20")
    assert {(event.id, event.name) for event in events} == {(None, None)}
    *chunks, last, done = [event.data for event in events]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert words(events) == "w0 w1 w2 "
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * len(chunks)
    assert (last["choices"][0]["finish_reason"], done) == ("stop", "[DONE]")
    assert "usage" not in last


async def test_usage_is_streamed_when_it_is_asked_for(ada: httpx.AsyncClient) -> None:
    events = await streamed(ada, "tokens=3", stream_options={"include_usage": True})
    *chunks, usage, _ = [event.data for event in events]
    assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 3)


async def test_an_answer_that_is_cut_off_says_why_and_what_it_spent(ada: httpx.AsyncClient) -> None:
    body = await whole(ada, "tokens=3 finish=length")
    assert (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 3)
    assert (await streamed(ada, "tokens=3 finish=length"))[-2].data["choices"][0]["finish_reason"] == "length"


async def test_heartbeats_are_comments_with_one_newline(ada: httpx.AsyncClient) -> None:
    async with ada.stream("POST", ADDRESS, json=asking("tokens=2 hang=0.7@1", stream=True)) as response:
        headers, raw = response.headers, await response.aread()
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache, no-transform", "no")
    assert b": ping\n: ping\ndata: " in raw
    assert b": ping\n\n" not in raw
    assert raw.replace(b": ping\n", b"").count(b"\n\n") == raw.count(b"data: ")


async def test_an_agent_is_told_the_whole_conversation(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    question = script(tokens=1)
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    earlier = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Do f."}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]
    messages = [*earlier, {"role": "user", "content": [{"type": "text", "text": question}]}]
    answer = await ada.post(ADDRESS, json={"model": "assistant", "messages": messages})
    assert answer.status_code == 200
    told = api_endpoint.requests(question)[0].messages[1:]
    assert [message["role"] for message in told] == ["system", "user", "assistant", "tool", "user"]
    assert [message["content"] for message in told] == ["Be brief.", "Do f.", None, "done", question]
    assert told[2]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


async def test_parameters_that_mean_nothing_here_are_ignored(ada: httpx.AsyncClient) -> None:
    body = await whole(ada, "tokens=1", n=1, tools=[], metadata={"a": "b"}, nonsense=[1])
    assert len(body["choices"]) == 1


HELLO = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": ["hi"]}, "messages.0"),
        ({"messages": [{"content": "hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "clown", "content": "hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages.0.content.0.text"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "Hi"}], "model": "assistant"}, "messages.1.role"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages.0.content"),
        ({"messages": [*HELLO, {"role": "tool", "tool_call_id": "c", "content": "Hi"}]}, "messages.1.tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "film"}]}]}, "messages.0.content.0.type"),
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": "all"}, "tools"),
        ({"stop": 5}, "stop"),
        ({"response_format": "json"}, "response_format"),
        ({"logit_bias": {"a": "b"}}, "logit_bias.a"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}, *HELLO]}, "messages.0.tool_calls.0.id"),
        ({"messages": HELLO * 10_001}, "messages"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_field(
    ada: httpx.AsyncClient, change: dict[str, Any], param: str
) -> None:
    answer = await ada.post(ADDRESS, json=asking("Hello") | change)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"].startswith(f"{param}: ")


ZEROS = [0] * 400_000
EMPTY: list[dict[str, str]] = [{"type": "text"}] * 60_000
BOMBS: dict[str, dict[str, Any]] = {
    "messages": {"messages": ZEROS},
    "parts": {"messages": [{"role": "user", "content": ZEROS}]},
    "tool calls": {"messages": [{"role": "assistant", "tool_calls": ZEROS}, *HELLO]},
    "few parts in each of many messages": {"messages": [{"role": "user", "content": EMPTY[:10]}] * 6_000},
    "wrong messages that are few": {"messages": [{"role": "user", "content": [0]}] * 10_000},
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_body_of_nothing_but_wrong_elements_is_refused_at_once(ada: httpx.AsyncClient, name: str) -> None:
    begin = time.perf_counter()
    answer = await ada.post(
        ADDRESS, content=orjson.dumps(asking("Hello") | BOMBS[name]), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, time.perf_counter() - begin < SOON_SECONDS) == (400, True)


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b'{"messages":NaN}', b"\xff", b"[" * 10_000, b'"\\ud800"'])
async def test_what_is_no_request_is_refused(ada: httpx.AsyncClient, body: bytes) -> None:
    answer = await ada.post(ADDRESS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_unknown_model_is_not_found(ada: httpx.AsyncClient, stream: bool) -> None:
    answer = await ada.post(ADDRESS, json=asking("Hello", stream=stream) | {"model": "gpt-99"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")


async def test_a_stranger_is_refused_in_openais_words(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post(ADDRESS, json=asking("Hello"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_an_agent_takes_no_image(ada: httpx.AsyncClient) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    answer = await ada.post(ADDRESS, json={"model": "assistant", "messages": [{"role": "user", "content": [image]}]})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        400, "unsupported_content", "messages.0.content.0.type",
    )  # fmt: skip


async def test_a_reused_key_is_the_same_answer_and_with_another_body_refused(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    question = script(tokens=2)
    key = {"Idempotency-Key": question}
    first, again = [await ada.post(ADDRESS, json=asking(question), headers=key) for _ in range(2)]
    assert first.json() == again.json()
    assert len(api_endpoint.requests(question)) == 1
    assert (await ada.post(ADDRESS, json=asking("other"), headers=key)).status_code == 409


async def test_a_failure_before_the_first_word_has_its_status(ada: httpx.AsyncClient) -> None:
    for stream in (False, True):
        answer = await ada.post(ADDRESS, json=asking(script(status=401), stream=stream))
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "model_auth")


async def test_headers_are_held_for_three_seconds_at_most(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    begin = asyncio.get_running_loop().time()
    question = script(tokens=1, delay=4)
    async with ada.stream("POST", ADDRESS, json=asking(question, stream=True)) as response:
        assert asyncio.get_running_loop().time() - begin > 2.5
        assert api_endpoint.requests(question)[0].first_token_at is None
        assert words([event async for event in events_of(response)]) == "w0 "


async def test_an_answer_that_is_stopped_elsewhere_ends_with_an_error(ada: httpx.AsyncClient) -> None:
    async with ada.stream("POST", ADDRESS, json=asking(script(tokens=3, hang="60@2"), stream=True)) as response:
        events = events_of(response)
        while "w" not in json.dumps((await anext(events)).data):
            pass
        job = f"/api/jobs/{response.headers['x-job-id']}"
        await ada.post(f"{job}/cancel")
        rest = [event.data async for event in events]
    assert rest[-1]["error"]["code"] == "cancelled"
    assert (await ada.get(job)).json()["status"] == "cancelled"


async def test_a_whole_answer_that_is_stopped_elsewhere_is_an_error_that_nobody_asks_again(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    question = script(delay=60)
    asked = asyncio.create_task(ada.post(ADDRESS, json=asking(question)))
    await until(lambda: api_endpoint.requests(question), within=30, what="the model is asked")
    job = (await ada.get("/api/jobs", params={"limit": 1})).json()["data"][0]
    await ada.post(f"/api/jobs/{job['id']}/cancel")
    answer = await asked
    assert (answer.status_code, answer.json()["error"]["code"]) == (499, "cancelled")
