"""A grown store: whether it is as quick as a new one, what space a token takes, how much deletion delays writers."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Measured
from benchmarks.parts import Bench, Options, Pair, Part, tell
from benchmarks.stored import STEP, claim, opened, submit, word, write_job
from benchmarks.streaming import percentile
from jobs import JobFilter
from jobs.events import JobCancelled, TextDelta
from jobs.models import Job
from jobs.sqlite import SqliteStore
from jobs.tail import MAX_BATCH
from names import SHARED_USER


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How far the store grows, and how often each operation is measured."""

    new_jobs: int = 200
    """Jobs of a new store: enough to fill its lists; otherwise it would return less instead of being quicker."""
    rows: int = 5_000_000
    """The rows by which the store grows."""
    job_tokens: int = 2_000
    turns: int = 10
    """Turns of each thread."""
    times: int = 300
    deleted_tokens: int = 100_000
    """Tokens of the thread that is deleted while others write."""


SHORT = Plan(new_jobs=4, rows=6_000, job_tokens=500, turns=2, times=20, deleted_tokens=2_000)


def prepared(options: Options) -> Part:
    """Only one pair: it takes long, and each figure is of many operations."""
    plan = SHORT if options.short else Plan()
    return Part(name="growth", ours=f"{plan.rows:,} rows", peer="new", pairs=1, measure_pair=partial(measure, plan))


async def measure(plan: Plan, bench: Bench) -> Pair:
    """Measures the grown store, and the same store when it was new."""
    data = bench.fresh()
    async with opened(data) as store:
        jobs = await _grow(store, plan.new_jobs * MAX_BATCH, MAX_BATCH, plan.turns)
        new = await _measure_all(store, jobs, plan) | await _purge(data, store, plan)
        begun = time.monotonic()
        jobs += await _grow(store, plan.rows, plan.job_tokens, plan.turns)
        tell(f"grown by {plan.rows:,} rows in {time.monotonic() - begun:.0f} s")
        grown = await _measure_all(store, jobs, plan)
        grown |= {Figure(name="size per 1,000 tokens", unit="kB"): _kilobytes(data / "jobs.db", jobs)}
        return grown | await _purge(data, store, plan), new


async def _grow(store: SqliteStore, rows: int, tokens: int, turns: int) -> list[Job]:
    """Adds threads with these turns and tokens until the log has grown by `rows`."""
    jobs: list[Job] = []
    while len(jobs) * tokens < rows:
        thread = str(uuid.uuid4())
        jobs += [await write_job(store, tokens=tokens, thread_id=thread) for _ in range(turns)]
    return jobs


def _kilobytes(path: Path, jobs: list[Job]) -> float:
    """Returns the size with all indexes and other data."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size / sum(job.last_seq for job in jobs)


async def _measure_all(store: SqliteStore, jobs: list[Job], plan: Plan) -> Measured:
    chosen = random.Random(1)

    async def read() -> None:
        job = chosen.choice(jobs)
        await store.read(job.id, chosen.randrange(max(1, job.last_seq - MAX_BATCH)), MAX_BATCH)

    async def turns() -> None:
        await store.thread_jobs(str(chosen.choice(jobs).thread_id))

    figures = await _appends(store, plan.times) | await _claims(store, plan.times)
    operations: dict[str, Callable[[], Awaitable[object]]] = {
        f"read {MAX_BATCH} events": read,
        "list jobs": lambda: store.jobs(JobFilter(user=SHARED_USER)),
        "list threads": lambda: store.threads(SHARED_USER, search=None, limit=20, before=None),
        "turns of a thread": turns,
        "count jobs": store.counts,
    }
    for name, operation in operations.items():
        figures |= _percentiles(name, [await _seconds(operation) for _ in range(plan.times)])
    search = [await _seconds(lambda: _search(store)) for _ in range(3)]
    return figures | {Figure(name="search threads", unit="ms"): percentile(search, 50) * 1000}


async def _search(store: SqliteStore) -> None:
    """Searches for text that does not occur, so that every title, question and answer is read."""
    assert not await store.threads(SHARED_USER, search="nowhere", limit=20, before=None)


async def _appends(store: SqliteStore, times: int) -> Measured:
    async with _running(store) as job:
        return _percentiles("append", [await _append(store, job, index) for index in range(times)])


async def _append(store: SqliteStore, job: Job, index: int) -> float:
    """Appends and commits one word. Returns the seconds."""
    entry = TextDelta(step=STEP, text=word(index)).entry()
    return await _seconds(lambda: store.append(job.id, job.epoch, [entry], after=job.last_seq + index))


async def _claims(store: SqliteStore, times: int) -> Measured:
    taken = []
    for _ in range(times):
        await submit(store)
        begun = time.perf_counter()
        job = await claim(store)
        taken.append(time.perf_counter() - begun)
        await _end(store, job)
    return _percentiles("claim", taken)


@asynccontextmanager
async def _running(store: SqliteStore) -> AsyncIterator[Job]:
    """Yields a running job and deletes it afterwards."""
    await submit(store)
    job = await claim(store)
    try:
        yield job
    finally:
        await _end(store, job)


async def _end(store: SqliteStore, job: Job) -> None:
    last = (await store.get(job.id)).last_seq
    await store.append(job.id, job.epoch, [JobCancelled(stopped=[]).entry()], after=last)
    await store.delete_job(job.id, SHARED_USER)


async def _purge(data: Path, store: SqliteStore, plan: Plan) -> Measured:
    """Deletes a long thread over another connection, as the web process does, while this one appends like a worker."""
    job = await write_job(store, tokens=plan.deleted_tokens, thread_id=str(uuid.uuid4()))
    async with opened(data) as other, _running(store) as running:
        await other.delete_thread(str(job.thread_id), SHARED_USER)
        purging = asyncio.ensure_future(_seconds(lambda: other.purge_thread(str(job.thread_id))))
        waits = [await _append(store, running, 0)]
        while not purging.done():
            waits.append(await _append(store, running, len(waits)))
            await asyncio.sleep(0.002)
        seconds = await purging
    load = f"{plan.deleted_tokens:,} events"
    return {
        Figure(name="delete a thread", unit="ms", load=load): seconds * 1000,
        Figure(name="longest append meanwhile", unit="ms", load=load): max(waits) * 1000,
    }


async def _seconds(operation: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await operation()
    return time.perf_counter() - begun


def _percentiles(name: str, seconds: list[float]) -> Measured:
    return {Figure(name=f"{name}, p{percent}", unit="ms"): percentile(seconds, percent) * 1000 for percent in (50, 99)}
