"""A job that kills its workers gets workers of its own; the jobs beside it go on as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal

import httpx
import pytest

from tests.conftest import StartServer
from tests.endpoint import Endpoint, Request, script
from tests.server import FIXTURE_TOOLS
from tests.waiting import until

ENOUGH_SECONDS = 90
WORDS = 300
ANSWER = "".join(f"w{n} " for n in range(WORDS))
TAKEOVER_SECONDS = 20.0
"""A new worker's start on a busy machine, and its claims. A suspect waits longer for a worker that never comes."""


async def submit(client: httpx.AsyncClient, **body: object) -> str:
    answer = await client.post("/api/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


async def log(client: httpx.AsyncClient, job: str) -> list[dict[str, object]]:
    text = (await client.get(f"/api/jobs/{job}/events")).text
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def attempts(events: list[dict[str, object]]) -> list[dict[str, object]]:
    return [event for event in events if event["type"] == "job.started"]


async def test_a_job_that_kills_its_workers_costs_its_neighbours_two_takeovers_and_no_word(
    start_server: StartServer, endpoint: Endpoint
) -> None:
    server = await start_server(LONGHAUL_TOOL_DIRS=str(FIXTURE_TOOLS))
    async with httpx.AsyncClient(base_url=server.url, timeout=ENOUGH_SECONDS) as client:
        questions = [script(tokens=WORDS, hold=WORDS // 2) for _ in range(3)]
        neighbours = [await submit(client, task="chat", input=question) for question in questions]
        culprit = await submit(client, task="end_worker", arguments={})

        async def is_alone() -> bool:
            followed: list[dict[str, object]] = []
            async with client.stream("GET", f"/api/jobs/{culprit}/events") as events:
                async for line in events.aiter_lines():
                    if line.startswith("data: "):
                        followed.append(json.loads(line.removeprefix("data: ")))
                        if str(followed[-1].get("worker", "")).startswith("alone_"):
                            return True
            return False

        await until(is_alone, within=ENOUGH_SECONDS, what="the culprit runs alone")
        await client.post(f"/api/jobs/{culprit}/cancel")
        for question in questions:
            endpoint.release(question)
        for job in neighbours:
            events = await log(client, job)
            assert events[-1]["type"] == "job.completed"
            assert len(attempts(events)) <= 4
            assert events[-1]["result"] == {"text": ANSWER}


async def test_random_kills_under_many_streams_condemn_nobody_and_delay_nobody_by_more_than_the_takeover(
    start_server: StartServer, endpoint: Endpoint, request: pytest.FixtureRequest
) -> None:
    """With --thorough, ten kills under fifty streams."""
    streams, kills = (50, 10) if request.config.getoption("--thorough") else (12, 2)
    server = await start_server()
    chance = random.Random(15)
    questions = [script(tokens=WORDS, hold=WORDS // 2) for _ in range(streams)]

    def cut() -> list[Request]:
        return [request for request in endpoint.requests() if request.disconnected_at is not None]

    def all_stream() -> bool:
        open_ones = [request for request in endpoint.requests() if request.disconnected_at is None]
        return {one.script for one in open_ones if one.tokens_sent >= WORDS // 2} >= set(questions)

    async with httpx.AsyncClient(base_url=server.url, timeout=ENOUGH_SECONDS) as client:
        jobs = [await submit(client, task="chat", input=question) for question in questions]
        for _ in range(kills):
            await until(all_stream, within=1.5 * TAKEOVER_SECONDS, what="all stream")
            before = len(cut())
            os.kill(chance.choice(sorted(server.workers())), signal.SIGKILL)
            await until(lambda before=before: len(cut()) > before, within=ENOUGH_SECONDS, what="streams are cut")  # type: ignore[misc]
        await until(all_stream, within=1.5 * TAKEOVER_SECONDS, what="all stream")
        for question in questions:
            endpoint.release(question)
        for job in jobs:
            end = (await log(client, job))[-1]
            assert (end["type"], end.get("result")) == ("job.completed", {"text": ANSWER})
    delays = [begun_again_after(request, endpoint.requests()) for request in cut()]
    assert len(delays) >= kills
    assert max(delays) <= TAKEOVER_SECONDS


def begun_again_after(cut: Request, requests: list[Request]) -> float:
    """Seconds until the stream's job asked the model again."""
    later = [one.received_at for one in requests if one.script == cut.script and one.number > cut.number]
    return min(later) - (cut.disconnected_at or 0.0)
