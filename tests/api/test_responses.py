"""`/v1/responses` as a program calls it: a real server, real HTTP, and the official client's own checks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import httpx
import orjson
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.api.conftest import KEYS
from tests.api.events import Event, events_of
from tests.conftest import StartServer
from tests.endpoint import Endpoint, Request, script
from tests.server import Server
from tests.waiting import until

ADDRESS = "/v1/responses"
MODEL = "test-model"
DELTA = "response.output_text.delta"
STRICT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
LEAVING_SECONDS = 30
SOON_SECONDS = 5
NOWHERE = "resp_" + "0" * 24


async def create(client: httpx.AsyncClient, text: Any, **fields: Any) -> OpenAIResponse:
    answer = await client.post(ADDRESS, json={"model": MODEL, "input": text, **fields})
    assert answer.status_code == 200, answer.text
    return OpenAIResponse.model_validate(answer.json())


async def retrieve(client: httpx.AsyncClient, response_id: str) -> OpenAIResponse:
    answer = await client.get(f"{ADDRESS}/{response_id}")
    assert answer.status_code == 200, answer.text
    return OpenAIResponse.model_validate(answer.json())


async def ended(client: httpx.AsyncClient, response_id: str) -> OpenAIResponse:
    async def finished() -> OpenAIResponse | None:
        response = await retrieve(client, response_id)
        return response if response.status not in {"queued", "in_progress"} else None

    return await until(finished, within=20, what="the response ends") or pytest.fail("no response")


async def streamed(
    client: httpx.AsyncClient, text: str, *, until_type: str | None = None, **fields: Any
) -> list[dict[str, Any]]:
    """To the end, or to the first event of this type and then a cut."""
    body = {"model": MODEL, "input": text, "stream": True, **fields}
    async with client.stream("POST", ADDRESS, json=body) as response:
        return await pulled(response, until_type)


async def resumed(
    client: httpx.AsyncClient, response_id: str, after: int | None = None, *, until_type: str | None = None
) -> list[dict[str, Any]]:
    place = {} if after is None else {"starting_after": after}
    address = f"{ADDRESS}/{response_id}"
    async with client.stream("GET", address, params={"stream": "true", **place}) as response:
        return await pulled(response, until_type)


async def pulled(response: httpx.Response, until_type: str | None) -> list[dict[str, Any]]:
    assert response.status_code == 200, await response.aread()
    got: list[Event] = []
    async with contextlib.aclosing(events_of(response)) as events:  # type: ignore[type-var]
        async for event in events:
            got.append(event)
            if event.name == until_type:
                break
    for event in got:
        assert event.name == event.data["type"]
        STRICT.validate_python(event.data)
    return [event.data for event in got]


def words(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == DELTA)


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["sequence_number"] for event in events]


def error_of(answer: httpx.Response) -> tuple[int, str | None, str | None]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["code"], error["param"]


def told(endpoint: Endpoint, question: str) -> list[tuple[str, str]]:
    """What the model was told: nothing of ours."""
    (request,) = endpoint.requests(question)
    return [(message["role"], message["content"]) for message in request.messages]


async def test_a_whole_response_says_all_that_a_client_wants_to_know(ada: httpx.AsyncClient) -> None:
    response = await create(ada, "tokens=3", metadata={"a": "b"}, instructions="Be brief.", temperature=0.5)
    assert (response.status, response.output_text, response.model) == ("completed", "w0 w1 w2 ", MODEL)
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + 3
    assert (response.metadata, response.instructions, response.temperature) == ({"a": "b"}, "Be brief.", 0.5)
    assert (response.background, response.error, response.previous_response_id) == (False, None, None)
    assert await retrieve(ada, response.id) == response


async def test_a_stream_begins_at_0_and_ends_with_the_whole_response(ada: httpx.AsyncClient) -> None:
    events = await streamed(ada, script(tokens=5, rate=40))
    assert numbers(events) == list(range(len(events)))
    assert [events[0]["type"], events[1]["type"]] == ["response.created", "response.in_progress"]
    assert words(events) == "w0 w1 w2 w3 w4 "
    assert events[-1]["type"] == "response.completed"
    final = OpenAIResponse.model_validate(events[-1]["response"])
    assert final == await retrieve(ada, final.id)
    assert await resumed(ada, final.id) == events


async def test_the_official_client_reads_a_stream(api_server: Server) -> None:
    async with (
        AsyncOpenAI(base_url=f"{api_server.url}/v1", api_key=KEYS["ada"], max_retries=0) as client,
        client.responses.stream(model=MODEL, input=script(tokens=3, hang="0.5@2")) as stream,
    ):
        assert [event.type async for event in stream][-1] == "response.completed"
        assert (await stream.get_final_response()).output_text == "w0 w1 w2 "


async def test_a_background_response_is_there_at_once_and_goes_on(ada: httpx.AsyncClient) -> None:
    response = await create(ada, script(tokens=3, rate=10), background=True)
    assert response.status in {"queued", "in_progress"}
    assert (await ended(ada, response.id)).output_text == "w0 w1 w2 "


async def test_a_cut_background_stream_is_resumed_at_any_place(ada: httpx.AsyncClient) -> None:
    got = await streamed(ada, script(tokens=12, rate=40), background=True, until_type=DELTA)
    response_id = got[0]["response"]["id"]
    whole = await resumed(ada, response_id)
    assert got == whole[: len(got)]
    assert words(whole) == "".join(f"w{i} " for i in range(12))
    for place in range(len(whole)):
        assert await resumed(ada, response_id, place) == whole[place + 1 :]
    assert await resumed(ada, response_id, 10**6) == []


async def test_death_of_worker_and_web_in_mid_stream_costs_no_event_and_doubles_none(
    start_server: StartServer, endpoint: Endpoint
) -> None:
    server = await start_server()
    question = script(tokens=60, hold=20)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        got = await streamed(client, question, background=True, until_type=DELTA)
        response_id = got[0]["response"]["id"]
        server.kill_workers()
        got += await resumed(client, response_id, got[-1]["sequence_number"], until_type="response.output_item.done")
        assert got[-1]["item"]["status"] == "incomplete"
        server.kill_web()
        await server.start()
        endpoint.release(question)
        got += await resumed(client, response_id, got[-1]["sequence_number"])
        assert numbers(got) == list(range(len(got)))
        assert await resumed(client, response_id) == got
        final = OpenAIResponse.model_validate(got[-1]["response"])
        assert (final.status, final.output_text) == ("completed", "".join(f"w{i} " for i in range(60)))
        assert final == await retrieve(client, response_id)


async def test_the_model_is_told_instructions_and_the_messages_before(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    question = script(tokens=1)
    output = {"type": "output_text", "text": "Hello.", "annotations": []}
    items = [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [output]},
        {"role": "user", "content": question},
    ]
    await create(ada, items, instructions="Be brief.")
    assert told(api_endpoint, question) == [
        ("system", "Be brief."),
        ("developer", "Be kind."),
        ("user", "Hi."),
        ("assistant", "Hello."),
        ("user", question),
    ]


async def test_a_response_goes_on_from_an_earlier_one_without_its_instructions(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    questions = [script(tokens=n) for n in (1, 2, 3)]
    first = await create(ada, questions[0], instructions="Only now.")
    second = await create(ada, questions[1], previous_response_id=first.id)
    third = await create(ada, questions[2], previous_response_id=second.id)
    assert third.previous_response_id == second.id
    said = [("user", questions[0]), ("assistant", "w0 "), ("user", questions[1]), ("assistant", "w0 w1 ")]
    assert told(api_endpoint, questions[2]) == [*said, ("user", questions[2])]


async def test_a_chain_of_responses_that_has_become_too_long_is_refused(ada: httpx.AsyncClient) -> None:
    long = [{"role": "user", "content": "x" * 2_200_000}, {"role": "user", "content": "Hi."}]
    first = await create(ada, long, background=True)
    await ada.post(f"{ADDRESS}/{first.id}/cancel")
    body = {"model": MODEL, "input": long, "previous_response_id": first.id}
    assert error_of(await ada.post(ADDRESS, json=body)) == (400, "context_length_exceeded", "previous_response_id")


async def test_a_response_goes_on_from_a_conversation_in_the_browser(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    thread, questions = f"thread-{time.time_ns()}", [script(tokens=n) for n in (1, 2, 3)]
    for question in questions[:2]:
        body = {"task": "chat", "input": question, "thread_id": thread}
        job = (await ada.post("/api/jobs", json=body)).json()
    response_id = job["id"].replace("job_", "resp_")
    turn = await ended(ada, response_id)
    assert (turn.output_text, turn.background) == ("w0 w1 ", True)
    await create(ada, questions[2], previous_response_id=response_id)
    said = [("user", questions[0]), ("assistant", "w0 "), ("user", questions[1]), ("assistant", "w0 w1 ")]
    assert told(api_endpoint, questions[2]) == [*said, ("user", questions[2])]


async def test_nobody_goes_on_from_another_users_response_or_one_that_has_not_ended(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    running = await create(ada, script(tokens=2, hold=1), background=True)
    body = {"model": MODEL, "input": "Hi.", "previous_response_id": running.id}
    assert error_of(await ada.post(ADDRESS, json=body)) == (409, "conflict", "previous_response_id")
    assert error_of(await bob.post(ADDRESS, json=body)) == (404, "not_found", "previous_response_id")
    await ada.post(f"{ADDRESS}/{running.id}/cancel")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 1}, "input"),
        ({"input": []}, "input"),
        ({"input": " "}, "input.0.content"),
        ({"input": ["Hi."]}, "input.0"),
        ({"input": [{"role": "user"}]}, "input.0.content"),
        ({"input": [{"role": "user", "content": 1}]}, "input.0.content"),
        ({"input": [{"role": "robot", "content": "Hi."}]}, "input.0.role"),
        ({"input": [{"role": "assistant", "content": "Hi."}], "model": "assistant"}, "input.0.role"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input.0.call_id"),
        ({"input": [{"type": "computer_call", "name": "f"}]}, "input.0.type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input.0.content.0.text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content.0.image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input.0.content.0.file_data"),
        ({"instructions": ["Be brief."]}, "instructions"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": []}, "metadata"),
        ({"stream": "yes"}, "stream"),
        ({"background": 1}, "background"),
        ({"temperature": "hot"}, "temperature"),
        ({"model": 1}, "model"),
        ({"previous_response_id": 1}, "previous_response_id"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_field(
    ada: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    status, _, told_param = error_of(await ada.post(ADDRESS, json={"model": MODEL, "input": "Hi.", **fields}))
    assert (status, told_param) == (400, param)


ZEROS = [0] * 400_000
BOMBS: dict[str, dict[str, Any]] = {
    "items": {"input": ZEROS},
    "parts": {"input": [{"role": "user", "content": ZEROS}]},
    "few parts in each of many items": {"input": [{"role": "user", "content": [{"type": "a"}] * 10}] * 6_000},
    "metadata": {"metadata": {str(number): 0 for number in range(100_000)}},
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_body_of_nothing_but_wrong_elements_is_refused_at_once(ada: httpx.AsyncClient, name: str) -> None:
    begin = time.perf_counter()
    answer = await ada.post(
        ADDRESS,
        content=orjson.dumps({"model": MODEL, "input": "Hi."} | BOMBS[name]),
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, time.perf_counter() - begin < SOON_SECONDS) == (400, True)


async def test_parameters_that_mean_nothing_here_are_ignored(ada: httpx.AsyncClient) -> None:
    response = await create(ada, "tokens=1", store=False, truncation="auto", reasoning={"effort": "low"}, shoe=43)
    assert response.output_text == "w0 "


@pytest.mark.parametrize("stream", [True, False])
async def test_an_unknown_model_is_not_found(ada: httpx.AsyncClient, stream: bool) -> None:
    answer = await ada.post(ADDRESS, json={"model": "other", "input": "Hi.", "stream": stream})
    assert error_of(answer) == (404, "model_not_found", "model")


@pytest.mark.parametrize("bad", [NOWHERE, "resp_x", "job_" + "0" * 24, "%00", "..%2f..", "%F0%9F", "x" * 5000])
async def test_an_unknown_id_is_not_found(ada: httpx.AsyncClient, bad: str) -> None:
    answers = [
        await ada.get(f"{ADDRESS}/{bad}"),
        await ada.get(f"{ADDRESS}/{bad}", params={"stream": "true"}),
        await ada.post(f"{ADDRESS}/{bad}/cancel"),
        await ada.delete(f"{ADDRESS}/{bad}"),
    ]
    assert {error_of(answer)[0] for answer in answers} == {404}


@pytest.mark.parametrize("place", ["x", "-1", "1.5", ""])
async def test_a_place_that_is_no_number_is_refused(ada: httpx.AsyncClient, place: str) -> None:
    answer = await ada.get(f"{ADDRESS}/{NOWHERE}", params={"stream": "true", "starting_after": place})
    assert error_of(answer)[::2] == (400, "starting_after")


async def test_another_users_response_and_a_tools_job_are_not_found(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    response = await create(ada, "tokens=1")
    assert (await bob.get(f"{ADDRESS}/{response.id}")).status_code == 404
    assert (await bob.delete(f"{ADDRESS}/{response.id}")).status_code == 404
    body = {"task": "simulate_portfolio", "arguments": {"years": 60}}
    job = (await ada.post("/api/jobs", json=body)).json()
    assert (await ada.get(f"{ADDRESS}/{job['id'].replace('job_', 'resp_')}")).status_code == 404
    await ada.post(f"/api/jobs/{job['id']}/cancel")


async def test_a_cancel_says_cancelled_any_number_of_times(ada: httpx.AsyncClient, api_endpoint: Endpoint) -> None:
    question = script(tokens=9, hold=2)
    got = await streamed(ada, question, background=True, until_type=DELTA)
    response_id = got[0]["response"]["id"]
    for _ in range(2):
        answer = await ada.post(f"{ADDRESS}/{response_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    last = (await resumed(ada, response_id, got[-1]["sequence_number"]))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "cancelled")
    assert last["response"]["output"][0]["status"] == "incomplete"
    (asked,) = api_endpoint.requests(question)
    await until(lambda: asked.disconnected_at, within=LEAVING_SECONDS, what="the model's stream is closed")


async def test_a_response_is_deleted_when_it_has_ended(ada: httpx.AsyncClient) -> None:
    running = await create(ada, script(tokens=2, hold=1), background=True)

    async def runs() -> bool:
        return bool((await ada.get(f"{ADDRESS}/{running.id}")).json()["status"] == "in_progress")

    await until(runs, within=30, what="a worker has begun: one that waits is withdrawn")
    assert error_of(await ada.delete(f"{ADDRESS}/{running.id}"))[0] == 409
    await ada.post(f"{ADDRESS}/{running.id}/cancel")
    answer = await ada.delete(f"{ADDRESS}/{running.id}")
    assert answer.json() == {"id": running.id, "object": "response", "deleted": True}
    assert (await ada.get(f"{ADDRESS}/{running.id}")).status_code == 404


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_word_has_its_status(ada: httpx.AsyncClient, stream: bool) -> None:
    answer = await ada.post(ADDRESS, json={"model": MODEL, "input": script(status=401), "stream": stream})
    assert answer.headers["content-type"] == "application/json"
    assert error_of(answer) == (502, "model_auth", None)


async def test_a_failure_behind_the_first_word_is_the_streams_last_event(ada: httpx.AsyncClient) -> None:
    events = await streamed(ada, script(tokens=9, rate=40, error=3))
    assert events[-1]["type"] == "response.failed"
    failed = OpenAIResponse.model_validate(events[-1]["response"])
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("failed", "server_error")
    assert failed == await retrieve(ada, failed.id)


async def test_a_whole_response_that_fails_half_way_is_an_error(ada: httpx.AsyncClient) -> None:
    answer = await ada.post(ADDRESS, json={"model": MODEL, "input": script(tokens=9, error=3)})
    assert error_of(answer)[0] == 502


async def test_an_answer_that_is_cut_off_is_incomplete(ada: httpx.AsyncClient) -> None:
    response = await create(ada, script(tokens=2, finish="length"))
    assert (response.status, response.output_text) == ("incomplete", "w0 w1 ")
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage is not None


async def test_heartbeats_are_comments_with_one_newline(ada: httpx.AsyncClient) -> None:
    body = {"model": MODEL, "input": script(tokens=2, hang="0.7@1"), "stream": True}
    async with ada.stream("POST", ADDRESS, json=body) as response:
        headers, raw = response.headers, await response.aread()
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache, no-transform", "no")
    assert b": ping\n" in raw
    assert b": ping\n\n" not in raw


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("options", [{"delay": 60}, {"tokens": 9, "hold": 3}], ids=["before a word", "behind some"])
async def test_who_leaves_the_foreground_stops_the_job(
    ada: httpx.AsyncClient, api_endpoint: Endpoint, options: dict[str, Any], stream: bool
) -> None:
    question = script(**options)
    body = {"model": MODEL, "input": question, "stream": stream}
    asking = asyncio.ensure_future(ada.post(ADDRESS, json=body))

    def asked() -> Request | None:
        found = [one for one in api_endpoint.requests(question) if one.tokens_sent == options.get("hold", 0)]
        return found[0] if found else None

    request = await until(asked, within=30, what="the model is asked")
    assert request is not None
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: request.disconnected_at, within=LEAVING_SECONDS, what="the model's stream is closed")
    job = (await ada.get("/api/jobs", params={"limit": 1})).json()["data"][0]
    assert (await ended(ada, job["id"].replace("job_", "resp_"))).status == "cancelled"


async def test_a_stranger_is_refused(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post(ADDRESS, json={"model": MODEL, "input": "Hi."})
    assert error_of(answer) == (401, "invalid_api_key", None)
