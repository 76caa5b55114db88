"""Another program holds the lock of the SQLite file for longer than a worker may be silent: everything waits, and
nothing is killed, begun again, lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import httpx

from tests.api.events import follow, text_of
from tests.conftest import StartServer
from tests.endpoint import script
from tests.waiting import until

TTL_SECONDS = 3
LOCKED_SECONDS = TTL_SECONDS + 6
WORDS = 200


async def test_a_worker_lives_through_a_foreign_lock_and_its_stream_is_whole(start_server: StartServer) -> None:
    server = await start_server(LONGHAUL_WORKER_TTL_SECONDS=str(TTL_SECONDS))
    workers = server.workers()
    asked = {"task": "chat", "input": script(tokens=WORDS, rate=50)}

    async def is_store(state: str) -> bool:
        return bool((await server.get("/readyz")).json()["store"] == state)

    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        job = (await client.post("/api/jobs", json=asked)).json()["id"]
        assert len(await follow(client, job, at_most=8)) == 8
        with contextlib.closing(sqlite3.connect(server.data_dir / "jobs.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            held = asyncio.create_task(asyncio.sleep(LOCKED_SECONDS))  # the time is what is tested
            await until(lambda: is_store("busy"), within=LOCKED_SECONDS, what="the lock is told")
            assert (await server.get("/readyz")).status_code == 200
            await held
        events = await follow(client, job)
        ended = (await client.get(f"/api/jobs/{job}")).json()
    await until(lambda: is_store("ok"), within=LOCKED_SECONDS, what="the store is free")
    assert server.workers() == workers
    assert (events[-1].name, ended["attempt"]) == ("job.completed", 1)
    assert [int(event.id or 0) for event in events] == list(range(1, len(events) + 1))
    assert text_of(events) == "".join(f"w{number} " for number in range(WORDS))
    told = [line for line in server.log().splitlines() if "WARNING" in line]
    assert [line for line in told if "database locked by another process; waiting" in line]
    assert [line for line in told if "database can be written again" in line]
