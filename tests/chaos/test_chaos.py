"""Whatever can die, dies, in a seeded order; at the end every log is whole and no finished step ran again.

Each kind of fault strikes once in the usual run; `--faults 200 --seed 7` tries more, in another order. More than that
needs `-o faulthandler_timeout=0`, as a test ends after ten minutes otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests import processes
from tests.api.events import TERMINAL, events_of
from tests.conftest import model_environment
from tests.endpoint import Endpoint, script
from tests.open_page import OpenPage
from tests.postgres import CommitEater, PrivatePostgres
from tests.server import Server
from tests.waiting import until

JOBS, FOLLOWERS, WORKERS, STEPS, TOKENS = 40, 20, 3, 4, 60
"""A quarter of the jobs, and of those that are followed, are tools; each other followed one is open in a page."""
PATIENCE = 180.0
TTL_SECONDS = 3
REASONS = {"interrupted_too_often"}
"""For which a job may fail here."""
MAX_FAILED = 4


@dataclass(frozen=True, kw_only=True)
class Site:
    """A web process, its workers, their database, and the network between."""

    server: Server
    database: PrivatePostgres
    eater: CommitEater
    chance: random.Random
    struck: Counter[str] = field(default_factory=Counter)

    def faults(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "kill a worker": self._kill_worker,
            "stop a worker": self._stop_worker,
            "kill the web process": self._kill_web,
            "stop the web process": self._stop_web,
            "cut the database's connections": self._cut_connections,
            "drop a COMMIT's answer": self._drop_commit,
            "crash the database": self._crash_database,
        }

    async def strike(self, name: str) -> None:
        self.struck[name] += 1
        await self.faults()[name]()

    async def _kill_worker(self) -> None:
        processes.send(await self._worker(), signal.SIGKILL)

    async def _stop_worker(self) -> None:
        """Sometimes for longer than the TTL: then its jobs are taken over, and it comes back as a zombie."""
        stopped = await self._worker()
        processes.send(stopped, signal.SIGSTOP)
        await asyncio.sleep(self.chance.choice([0.5, 2 * TTL_SECONDS]))
        processes.send(stopped, signal.SIGCONT)

    async def _stop_web(self) -> None:
        self.server.signal_web(signal.SIGSTOP)
        await asyncio.sleep(self.chance.choice([0.5, 2 * TTL_SECONDS]))
        self.server.signal_web(signal.SIGCONT)

    async def _worker(self) -> int:
        workers = await until(self.server.workers, within=PATIENCE, what="a worker")
        return self.chance.choice(workers)

    async def _kill_web(self) -> None:
        await asyncio.to_thread(self.server.kill_web)
        await self.server.start()

    async def _cut_connections(self) -> None:
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        async with await psycopg.AsyncConnection.connect(self.database.url, autocommit=True) as connection:
            await connection.execute(sql)

    async def _drop_commit(self) -> None:
        self.eater.armed = True

    async def _crash_database(self) -> None:
        await asyncio.to_thread(self.database.stop, immediately=True)
        await asyncio.to_thread(self.database.start)


@pytest.fixture
async def site(
    private_postgres: PrivatePostgres,
    short_path: Path,
    endpoint: Endpoint,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> AsyncIterator[Site]:
    with CommitEater(private_postgres, short_path / "eater") as eater:
        environment = model_environment(endpoint) | {
            "DATABASE_URL": eater.url,
            "CHAINLIT_AUTH_SECRET": "a-secret-that-is-the-same-everywhere",
            "LONGHAUL_EMBEDDED_WORKERS": str(WORKERS),
            "LONGHAUL_WORKER_TTL_SECONDS": str(TTL_SECONDS),
        }
        server = Server(tmp_path, environment, production=True)
        await server.start()
        yield Site(
            server=server,
            database=private_postgres,
            eater=eater,
            chance=random.Random(pytestconfig.getoption("--seed")),
        )
        await asyncio.to_thread(server.kill_everything)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A client that repeats what a fault has broken."""

    http: httpx.AsyncClient

    async def submit(self, key: str, **body: object) -> str:
        """Returns the job's id. The key makes one job of all attempts."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.http.post("/api/jobs", json=body, headers={"Idempotency-Key": key})
                if answer.is_success:
                    return str(answer.json()["id"])
                assert answer.status_code in (500, 503), answer.text
            await asyncio.sleep(0.2)

    async def follow(self, job: str) -> list[dict[str, Any]]:
        """Returns the events as they came, each time resumed behind the last one."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] not in TERMINAL:
            with contextlib.suppress(httpx.TransportError):
                after = {"after": events[-1]["seq"] if events else 0}
                async with self.http.stream("GET", f"/api/jobs/{job}/events", params=after) as stream:
                    async for event in events_of(stream):
                        if event.id is not None:  # else it says that the log cannot be read now
                            events.append(event.data)  # noqa: PERF401  # what came before a cut is kept
            await asyncio.sleep(0.1)
        return events


async def test_whatever_dies_each_log_is_whole_and_no_finished_step_runs_again(
    site: Site, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()

    def request(number: int) -> dict[str, object]:
        if number % 4:
            text = script(f"tokens={TOKENS} rate=20 id={number}")
            return {"task": "chat", "input": text, "thread_id": thread_of(number)}
        arguments = {"file": str(notes / str(number)), "steps": STEPS, "seconds": 0.5}
        return {"task": "note_in_steps", "arguments": arguments}

    async def submit(caller: Caller, number: int, within: float) -> str:
        await asyncio.sleep(number / JOBS * within)
        return await caller.submit(str(number), **request(number))

    faults = pytestconfig.getoption("--faults")
    watched = [number for number in range(FOLLOWERS) if number % 2]  # in a page: all of these are chat turns
    names = [*site.faults()]
    async with (
        httpx.AsyncClient(base_url=site.server.url, timeout=30) as http,
        asyncio.timeout(PATIENCE + 10 * faults),
        asyncio.TaskGroup() as group,
    ):
        caller = Caller(http=http)
        (await http.get("/")).raise_for_status()  # the cookie of a page
        submits = [group.create_task(submit(caller, number, within=faults)) for number in range(JOBS)]

        async def follow(number: int) -> list[dict[str, Any]]:
            return await caller.follow(await submits[number])

        async def watch(number: int) -> list[str]:
            await submits[number]
            return await OpenPage([http], thread_of(number)).read()

        following = [group.create_task(follow(number)) for number in range(FOLLOWERS) if number not in watched]
        watching = [group.create_task(watch(number)) for number in watched]
        for number in range(faults):
            await asyncio.sleep(site.chance.uniform(0.2, 1.5))
            await site.strike(names[number % len(names)] if number < len(names) else site.chance.choice(names))
        jobs = [await one for one in submits]
        logs = {job: await caller.follow(job) for job in jobs}
        followed = [await one for one in following]
        shown = [await one for one in watching]

    assert len(set(jobs)) == JOBS
    assert followed == [logs[job] for number, job in enumerate(jobs[:FOLLOWERS]) if number not in watched], site.struck
    for page, number in zip(shown, watched, strict=True):
        check_page(page, logs[jobs[number]][-1])
    for number, job in enumerate(jobs):
        check_log(logs[job])
        if logs[job][-1]["type"] == "job.completed":
            check_work(number, logs[job], notes)
        else:
            assert logs[job][-1]["error"]["code"] in REASONS, logs[job][-1]
    completed = [job for job in jobs if logs[job][-1]["type"] == "job.completed"]
    assert len(completed) >= JOBS - MAX_FAILED, Counter(str(log[-1]) for log in logs.values())
    assert site.eater.eaten > 0


def thread_of(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def check_page(messages: list[str], end: dict[str, Any]) -> None:
    if end["type"] == "job.completed":
        assert messages == [end["result"]["text"]]


def check_log(events: list[dict[str, Any]]) -> None:
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    finished: set[str] = set()
    for event in events:
        if event["type"] == "step.started":
            assert event["step"] not in finished, "a finished step ran again"
        elif event["type"] == "step.finished":
            assert event["step"] not in finished
            finished.add(event["step"])


def check_work(number: int, events: list[dict[str, Any]], notes: Path) -> None:
    if number % 4:
        assert events[-1]["result"]["text"].split() == [f"w{word}" for word in range(TOKENS)]
        return
    starts = Counter(event["step"].rpartition("/")[2] for event in events if event["type"] == "step.started")
    lines = Counter((notes / str(number)).read_text().splitlines())
    for step in range(STEPS):
        assert 1 <= lines[f"step {step}"] <= sum(count for name, count in starts.items() if name.endswith(str(step)))
