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

from tests.api.doors import LEAVABLE, Question, completion, streamed_completion
from tests.api.events import Event, events_of
from tests.conftest import StartServer
from tests.endpoint import Endpoint, Request, script
from tests.server import Server
from tests.waiting import until

SOON_SECONDS = 1.0
PATIENCE = 30

Moment = tuple[str, Callable[[Request], bool]]
MOMENTS: dict[str, Moment] = {
    "before the first token": ("delay=60", lambda asked: True),
    "in mid-stream": ("tokens=4 hang=60@2", lambda asked: asked.tokens_sent == 2),
}


@pytest.mark.alone
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("door", LEAVABLE)
async def test_leaving_closes_the_models_stream_and_leaves_nothing_behind(
    api_server: Server, api_endpoint: Endpoint, ada: httpx.AsyncClient, door: str, moment: str
) -> None:
    await send(ada, completion, "tokens=1")  # the first job of a worker waits for its imports
    log, (faults, reached) = api_server.log(), MOMENTS[moment]
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
    assert api_server.log() == log


async def send(client: httpx.AsyncClient, question: Question, text: str) -> httpx.Response:
    address, body = question(text)
    return await client.post(address, json=body)


async def newest_is(client: httpx.AsyncClient, status: str) -> bool:
    return bool((await client.get("/api/jobs", params={"limit": 1})).json()["data"][0]["status"] == status)


async def followers_gone(client: httpx.AsyncClient) -> bool:
    figures = (await client.get("/metrics")).text
    return re.search(r"^longhaul_followers 0(\.0)?$", figures, re.MULTILINE) is not None


async def test_a_server_that_ends_has_not_left(start_server: StartServer, endpoint: Endpoint) -> None:
    server = await start_server()
    streamed, whole = script(tokens=6, hold=3), script(tokens=6, hold=3)
    async with open_client(server) as client, begun(client, streamed) as events:
        refusal = asyncio.create_task(send(client, completion, whole))
        await until(lambda: endpoint.requests(whole), within=PATIENCE, what="the other is begun")
        server.terminate_web()
        rest = [event.data async for event in events]
        answer = await refusal
    assert [data["error"]["code"] for data in rest] == ["unavailable"]
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert await asyncio.to_thread(server.ended) == 0
    for question in (streamed, whole):
        endpoint.release(question)
    await server.start()
    await until(lambda: all_say(server, "w0 w1 w2 w3 w4 w5 "), within=PATIENCE, what="both jobs are completed")


async def all_say(server: Server, text: str) -> bool:
    jobs: list[dict[str, Any]] = (await server.get("/api/jobs")).json()["data"]
    return [job["result"] for job in jobs] == [{"text": text}] * 2


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
async def begun(client: httpx.AsyncClient, question: str) -> AsyncIterator[AsyncIterator[Event]]:
    """The events behind the third word."""
    address, body = streamed_completion(question)
    async with client.stream("POST", address, json=body) as response:
        events = events_of(response)
        while "w2" not in str((await anext(events)).data):
            pass
        yield events
