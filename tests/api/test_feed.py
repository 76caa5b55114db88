"""The feed of all of a caller's jobs: what changes is told, to its owner only, and again after a cut."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.api.events import events_of
from tests.endpoint import Endpoint, script
from tests.waiting import until

PATIENCE = 30


class Feed:
    """What a feed has told so far, by job."""

    def __init__(self) -> None:
        self.jobs: dict[str, list[dict[str, Any]]] = {}
        self.last_id = ""
        self.connected = asyncio.Event()
        self._told = asyncio.Condition()

    async def read(self, client: httpx.AsyncClient, last_id: str = "") -> None:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        async with client.stream("GET", "/api/events", headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            self.connected.set()
            async for event in events_of(response):
                assert event.name == "job"
                async with self._told:
                    self.last_id = str(event.id)
                    self.jobs.setdefault(event.data["id"], []).append(event.data)
                    self._told.notify_all()

    async def tells(self, job: str, **fields: Any) -> dict[str, Any]:
        """Waits until it has told a job with these fields; what it told."""

        def told() -> list[dict[str, Any]]:
            return [one for one in self.jobs.get(job, []) if fields.items() <= one.items()]

        async with asyncio.timeout(PATIENCE), self._told:
            await self._told.wait_for(told)
            return told()[-1]


@contextlib.asynccontextmanager
async def feed(client: httpx.AsyncClient, last_id: str = "") -> AsyncIterator[Feed]:
    told = Feed()
    async with asyncio.timeout(2 * PATIENCE):
        reading = asyncio.create_task(told.read(client, last_id))
        await told.connected.wait()
        yield told
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


async def submit(client: httpx.AsyncClient, **script_words: Any) -> dict[str, Any]:
    words = f"{uuid.uuid4()} {script(**script_words)}"
    job: dict[str, Any] = (await client.post("/api/jobs", json={"task": "chat", "input": words})).json()
    return job


async def test_each_change_of_a_job_is_told_to_its_owner_only(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    async with feed(ada) as told, feed(bob) as others:
        job = await submit(ada, tokens=3, hold=2)
        working = await told.tells(job["id"], state="working", doing="asking test-model")
        assert working["title"]
        assert working["thread_id"] == job["thread_id"]
        assert not {"last_seq", "result", "artifacts"} & working.keys()
        theirs = await submit(bob, tokens=1)
        await others.tells(theirs["id"], state="completed")
        (await ada.post(f"/api/jobs/{job['id']}/cancel")).raise_for_status()
        ended = await told.tells(job["id"], state="cancelled")
        assert ended["finished_at"] is not None
    assert theirs["id"] not in told.jobs
    assert job["id"] not in others.jobs


async def test_a_feed_begins_with_what_runs_and_a_resumed_one_tells_what_ended_meanwhile(
    ada: httpx.AsyncClient, api_endpoint: Endpoint
) -> None:
    question = script(tokens=3, hold=2)
    job = (await ada.post("/api/jobs", json={"task": "chat", "input": question})).json()
    async with feed(ada) as first:
        await first.tells(job["id"], state="working")
    api_endpoint.release(question)

    async def ended() -> bool:
        return (await ada.get(f"/api/jobs/{job['id']}")).json()["finished_at"] is not None

    await until(ended, within=PATIENCE, what="the job's end")
    async with feed(ada, first.last_id) as resumed:
        told = await resumed.tells(job["id"], state="completed")
    assert told["usage"] is not None


async def test_a_queued_job_that_is_deleted_with_its_thread_is_told(ada: httpx.AsyncClient) -> None:
    async with feed(ada) as told:
        job = await submit(ada, tokens=3, hold=1)
        await told.tells(job["id"], state="working")
        await ada.post(f"/api/jobs/{job['id']}/cancel")
        await told.tells(job["id"], state="cancelled")
        assert (await ada.delete(f"/api/jobs/{job['id']}")).status_code == 204


@pytest.mark.parametrize("last_id", ["x", "nan", "inf", "-1", "1e400", "9" * 50, "4e9"])
async def test_any_cursor_is_taken(ada: httpx.AsyncClient, last_id: str) -> None:
    async with feed(ada, last_id) as told:
        job = await submit(ada, tokens=1)
        assert (await told.tells(job["id"], state="completed"))["finished_at"] is not None


async def test_a_job_that_waits_for_its_endpoint_says_so(ada: httpx.AsyncClient) -> None:
    async with feed(ada) as told:
        job = await submit(ada, tokens=1, status=503, times=3)
        assert (await told.tells(job["id"], state="waiting"))["finished_at"] is None
        assert (await told.tells(job["id"], state="completed"))["error"] is None


async def test_strangers_have_no_feed(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/api/events")).status_code == 401
