"""Events on their way from workers to followers in another process: on PostgreSQL, beside SQLite."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import psycopg

from benchmarks.caller import WORD
from benchmarks.endpoint import TICKS_PER_SECOND, now_ticks
from benchmarks.figures import Figure, Measured
from benchmarks.parts import Bench, Options, Pair, Part, tell
from benchmarks.stored import submit
from benchmarks.streaming import percentile
from benchmarks.usage import postgres_seconds
from jobs import Job, JobClient
from jobs.events import TextDelta
from names import SHARED_USER
from services.backend import open_backend
from settings import Settings
from tests.postgres import PrivatePostgres, temporary_postgres

PATIENCE_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The loads: each has this many jobs in all, which add a word every 30 ms."""

    seconds: float
    workers: Sequence[int] = (1, 2, 4)
    jobs: int = 100
    old_snapshot: bool = True
    """Whether to measure once more while another transaction, begun before all loads, keeps what it has seen."""


def prepared(options: Options) -> Part:
    plan = Plan(seconds=options.seconds)
    if options.short:
        plan = Plan(seconds=1, workers=(2,), jobs=4, old_snapshot=False)
    return Part(
        name="cluster",
        ours="PostgreSQL",
        peer="SQLite",
        pairs=options.pairs,
        measure_pair=partial(measure_pair, plan),
    )


async def measure_pair(plan: Plan, bench: Bench) -> Pair:
    """Measures PostgreSQL and SQLite, each with the commits that Longhaul uses."""
    with temporary_postgres() as server:
        ours = await _loads({"DATABASE_URL": server.url}, plan, bench)
        if plan.old_snapshot:
            ours |= await _under_old_snapshot(server, plan, bench)
    return ours, await _loads({}, plan, bench)


async def _loads(store: dict[str, str], plan: Plan, bench: Bench) -> Measured:
    measured: Measured = {}
    for workers in plan.workers:
        measured |= await _load(store, workers, plan, bench, f"{workers} workers")
    return measured


async def _under_old_snapshot(server: PrivatePostgres, plan: Plan, bench: Bench) -> Measured:
    """Repeats the first load under a transaction that has lasted for as long as the others: rows cannot be reused."""
    with _snapshot(server):
        for workers in plan.workers:
            await _load({"DATABASE_URL": server.url}, workers, plan, bench, "")
        first = plan.workers[0]
        return await _load({"DATABASE_URL": server.url}, first, plan, bench, f"{first} workers, old snapshot")


@contextmanager
def _snapshot(server: PrivatePostgres) -> Iterator[None]:
    with psycopg.connect(server.url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM jobs")
        yield


async def _load(store: dict[str, str], workers: int, plan: Plan, bench: Bench, load: str) -> Measured:
    """Lets the workers write and follows all their jobs in this process."""
    tell(f"{'PostgreSQL' if store else 'SQLite'}: {load or 'ageing the snapshot'}")
    environment = {"LONGHAUL_DATA_DIR": str(bench.fresh()), "CHAINLIT_AUTH_SECRET": "0" * 32} | store
    each = plan.jobs // workers
    async with open_backend(Settings(**environment)) as backend, JobClient(backend.store, backend.wake) as client:
        jobs = [await submit(backend.store) for _ in range(each * workers)]
        async with _writers(environment, workers, each, plan.seconds) as writers:
            follower = Follower(client)
            database = postgres_seconds()
            async with asyncio.timeout(plan.seconds + PATIENCE_SECONDS), asyncio.TaskGroup() as group:
                for job in jobs:
                    group.create_task(follower.follow(job))
                for writer in writers:
                    assert writer.stdin is not None
                    writer.stdin.write(b"go\n")
            measured = follower.measured(load)
            if store:
                cpu = (postgres_seconds() - database) / len(follower.delays) * 1000
                measured[Figure(name="CPU of the database per 1,000 events", unit="s", load=load)] = cpu
            return measured


@asynccontextmanager
async def _writers(
    environment: dict[str, str], workers: int, jobs: int, seconds: float
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Starts the writers; returns when all have claimed their jobs."""
    writers = []
    try:
        for number in range(workers):
            arguments = ["-m", "benchmarks.writing", *map(str, (number, workers, jobs, seconds))]
            pipe = asyncio.subprocess.PIPE
            writer = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=pipe, stdout=pipe, env=environment
            )
            writers.append(writer)
        for writer in writers:
            assert writer.stdout is not None
            if await writer.stdout.readline() != b"ready\n":
                raise RuntimeError("a writer ended before it had claimed its jobs")
        yield writers
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()
            await writer.wait()
    finally:
        for writer in writers:
            with contextlib.suppress(ProcessLookupError):
                writer.kill()


class Follower:
    """Follows jobs as a web process does, and counts their words."""

    def __init__(self, client: JobClient) -> None:
        self._client = client
        self.delays: list[float] = []
        """Milliseconds from a writer's call to here, once for each word."""
        self._first = self._last = 0.0

    async def follow(self, job: Job) -> None:
        async for batch in self._client.follow(job.id, SHARED_USER):
            arrived = now_ticks()
            for event in batch:
                if isinstance(event.payload, TextDelta):
                    self._count(event.payload.text, arrived)

    def _count(self, text: str, arrived: float) -> None:
        for match in WORD.finditer(text.encode()):
            self.delays.append((arrived - int(match[2])) / TICKS_PER_SECOND * 1000)
            self._first = self._first or arrived
            self._last = arrived

    def measured(self, load: str) -> Measured:
        seconds = (self._last - self._first) / TICKS_PER_SECOND
        return {
            Figure(name="events per second", unit="1/s", load=load): len(self.delays) / seconds,
            Figure(name="writer to follower, p50", unit="ms", load=load): percentile(self.delays, 50),
            Figure(name="writer to follower, p99", unit="ms", load=load): percentile(self.delays, 99),
        }
