"""The wall clock of a running server jumps by a year, forwards and back: streams, the feed of all jobs and new work go
on."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import httpx

from tests.api.events import follow, text_of
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.waiting import until

YEAR = 365 * 86_400
SOON = 30


async def ends_of(client: httpx.AsyncClient, told: set[str]) -> None:
    """Follows all jobs, and keeps the ids of those that the feed says to be completed."""
    async with client.stream("GET", "/api/events", timeout=None) as feed:
        async for line in feed.aiter_lines():
            if line.startswith("data: ") and (job := json.loads(line[6:]))["state"] == "completed":
                told.add(job["id"])


async def test_a_jump_of_the_clock_costs_no_word_and_no_job(
    start_server: StartServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    server = await start_server(TEST_CLOCK_FILE=str(clock))
    workers = server.workers()
    told: set[str] = set()
    async with httpx.AsyncClient(base_url=server.url, timeout=SOON) as client:
        feed = asyncio.create_task(ends_of(client, told))
        try:
            long = script(tokens=30, hold="10,20")
            job = (await client.post("/api/jobs", json={"task": "chat", "input": long})).json()["id"]
            following = asyncio.create_task(follow(client, job))
            for ahead in (YEAR, -YEAR, 0):
                await until(lambda: endpoint.requests(long), within=SOON, what="the model is asked")
                clock.write_text(str(ahead))
                endpoint.release(long)
                short = {"task": "chat", "input": script(tokens=2)}
                other = (await client.post("/api/jobs", json=short)).json()["id"]
                assert text_of(await follow(client, other)) == "w0 w1 "
                await until(partial(told.issuperset, {other}), within=SOON, what="the feed tells its end")
                ready = (await client.get("/readyz")).json()
                assert (ready["workers"], ready["queue"]["jobs"]) == (1, 0)
            log = await following
            assert (await client.get(f"/api/jobs/{job}")).json()["attempt"] == 1
            assert text_of(log) == "".join(f"w{number} " for number in range(30))
            await until(lambda: job in told, within=SOON, what="the feed tells the end of the long one")
        finally:
            feed.cancel()
            await asyncio.gather(feed, return_exceptions=True)
    assert server.workers() == workers
