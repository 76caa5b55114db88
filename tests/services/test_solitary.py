"""A job that kills its workers gets workers of its own; the jobs beside it go on as if nothing had happened."""

from __future__ import annotations

import json

import httpx

from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.server import FIXTURE_TOOLS
from tests.waiting import until

ENOUGH_SECONDS = 90
WORDS = 300


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
            assert events[-1]["result"] == {"text": "".join(f"w{n} " for n in range(WORDS))}
