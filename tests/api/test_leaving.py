"""Who leaves stops the job, up to the model's socket; a server that ends has not left."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.api.doors import (
    LEAVABLE,
    Question,
    completion,
    streamed_completion,
    streamed_response,
    whole_response,
)
from tests.api.events import Event, events_of
from tests.conftest import StartServer
from tests.endpoint import Endpoint, Request, script
from tests.server import Server
from tests.waiting import until

SOON_SECONDS = 10
PATIENCE = 30

Moment = tuple[str, Callable[[Request], bool]]
MOMENTS: dict[str, Moment] = {
    "before the first token": ("delay=60", lambda asked: True),
    "in mid-stream": ("tokens=4 hang=60@2", lambda asked: asked.tokens_sent == 2),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("door", LEAVABLE)
async def test_leaving_closes_the_models_stream_and_leaves_nothing_behind(
    api_server: Server, api_endpoint: Endpoint, ada: httpx.AsyncClient, door: str, moment: str
) -> None:
    await send(ada, completion, "tokens=1")  # the first job of a worker waits for its imports
    complaints, (faults, reached) = api_server.complaints(), MOMENTS[moment]
    question = script(faults)
    asked = asyncio.create_task(send(ada, LEAVABLE[door], question))
    await until(lambda: [*filter(reached, api_endpoint.requests(question))], within=PATIENCE, what="the model answers")
    upstream = api_endpoint.requests(question)[0]
    left_at = time.monotonic()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: upstream.disconnected_at is not None, within=PATIENCE, what="the stream closes")
    assert (upstream.disconnected_at or 0) - left_at <= SOON_SECONDS
    await until(lambda: newest_is(ada, "cancelled"), within=PATIENCE, what="the job is cancelled")
    await until(lambda: followers_gone(ada), within=PATIENCE, what="the follower is gone")
    assert api_server.complaints() == complaints


async def send(
    client: httpx.AsyncClient, question: Question, text: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    address, body = question(text)
    return await client.post(address, json=body, headers=headers)


async def newest_is(client: httpx.AsyncClient, status: str) -> bool:
    return bool((await client.get("/api/jobs", params={"limit": 1})).json()["data"][0]["status"] == status)


async def followers_gone(client: httpx.AsyncClient) -> bool:
    figures = (await client.get("/metrics")).text
    return re.search(r"^longhaul_followers 0(\.0)?$", figures, re.MULTILINE) is not None


async def test_a_server_that_ends_has_not_left(start_server: StartServer, endpoint: Endpoint) -> None:
    server = await start_server()
    streamed, responding = script(tokens=6, hold=3), script(tokens=6, hold=3)
    held = {script(tokens=6, hold=3): door for door in (completion, whole_response)}
    mute = script(tokens=6, delay=2.5)  # headers are held for 3 s
    async with (
        open_client(server) as client,
        begun(client, streamed) as events,
        begun(client, responding, streamed_response) as response_events,
    ):
        asked = [asyncio.create_task(send(client, door, question)) for question, door in held.items()]
        await until(lambda: all(map(endpoint.requests, held)), within=PATIENCE, what="the others are begun")
        asked.append(asyncio.create_task(send(client, streamed_response, mute)))
        await until(lambda: jobs_of(server, 5), within=PATIENCE, what="the last is asked too")
        server.terminate_web()
        rest = [event.data async for event in events]
        last = [event async for event in response_events][-1]
        answers = await asyncio.gather(*asked)
    assert [data["error"]["code"] for data in rest] == ["unavailable"]
    assert (last.name, last.data["code"], last.data["param"]) == ("error", "unavailable", None)
    assert last.data["sequence_number"] > 0
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert await asyncio.to_thread(server.ended) == 0
    for question in (streamed, responding, *held):
        endpoint.release(question)
    await server.start()
    await until(lambda: all_say(server, "w0 w1 w2 w3 w4 w5 ", 5), within=PATIENCE, what="all jobs are completed")


async def jobs_of(server: Server, number: int) -> bool:
    return len((await server.get("/api/jobs")).json()["data"]) == number


async def all_say(server: Server, text: str, times: int) -> bool:
    jobs: list[dict[str, Any]] = (await server.get("/api/jobs")).json()["data"]
    return [job["result"] for job in jobs] == [{"text": text}] * times


@pytest.mark.parametrize("door", LEAVABLE)
async def test_nobody_owns_what_was_asked_with_the_same_key_at_another_door(
    ada: httpx.AsyncClient, api_endpoint: Endpoint, door: str
) -> None:
    question = script(tokens=1)
    headers = {"Idempotency-Key": question}
    model = {"model": LEAVABLE[door](question)[1].get("model")}
    body = {"task": "chat", "input": question} | model
    job = (await ada.post("/api/jobs", json=body, headers=headers)).json()
    answer = await send(ada, LEAVABLE[door], question, headers)
    assert (answer.status_code, "x-job-id" in answer.headers) == (409, False)
    await until(lambda: ends_with(ada, job["id"], "completed"), within=PATIENCE, what="the first is answered")
    assert len(api_endpoint.requests(question)) == 1


async def ends_with(client: httpx.AsyncClient, job_id: str, status: str) -> bool:
    return bool((await client.get(f"/api/jobs/{job_id}")).json()["status"] == status)


async def test_words_that_a_new_worker_writes_anew_are_no_part_of_a_completion(
    start_server: StartServer, endpoint: Endpoint
) -> None:
    server = await start_server()
    question = script(tokens=6, rate=20, hold=3)
    async with open_client(server) as client, begun(client, question) as events:
        server.kill_workers()
        endpoint.release(question)
        rest = [event.data async for event in events]
        assert [data["error"]["code"] for data in rest] == ["answer_withdrawn"]
        await until(lambda: newest_is(client, "cancelled"), within=PATIENCE, what="the job is cancelled")


def open_client(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, timeout=PATIENCE)


@contextlib.asynccontextmanager
async def begun(
    client: httpx.AsyncClient, text: str, question: Question = streamed_completion
) -> AsyncIterator[AsyncIterator[Event]]:
    """The events behind the third word."""
    address, body = question(text)
    async with client.stream("POST", address, json=body) as response:
        events = events_of(response)
        while "w2" not in str((await anext(events)).data):
            pass
        yield events
