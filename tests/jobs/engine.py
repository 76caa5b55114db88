"""Factories for the engine's tests: a store with its wake-ups, requests, workers on a loop of their own."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from jobs import Job, JobClient, JobEvent, JobRequest, TaskFunction
from jobs.encoding import from_stored, to_stored
from jobs.events import Payload
from jobs.local import LocalDispatcher
from jobs.models import Limits
from jobs.postgres import PostgresStore, PostgresWake
from jobs.rules import Eligibility
from jobs.sqlite import SqliteStore
from jobs.store import JobStore
from jobs.transitions import Transitions
from jobs.wake import DatagramWake, Wake
from jobs.worker import Worker
from tests.postgres import borrowed_schema

LONG_AGO = 1_000_000.0


@dataclass
class Clock:
    """Unix seconds that a test moves."""

    now: float = LONG_AGO

    def __call__(self) -> float:
        return self.now


@dataclass
class Engine:
    """One process's view of the engine."""

    store: JobStore
    wake: Wake
    client: JobClient
    directory: Path
    transitions: Transitions
    locked: Callable[[], AbstractContextManager[None]]
    """While it is open, another process keeps the store from writing."""
    clock: Clock = field(default_factory=Clock)

    def dispatcher(
        self,
        *,
        tasks: tuple[str, ...] = ("chat",),
        user_slots: int = 8,
        ttl_seconds: float = 10,
        **options: Any,
    ) -> LocalDispatcher:
        return LocalDispatcher(
            self.store,
            self.wake,
            self.directory / "workers",
            tasks=tasks,
            user_slots=user_slots,
            ttl_seconds=ttl_seconds,
            **options,
        )

    @asynccontextmanager
    async def working(
        self,
        tasks: Mapping[str, TaskFunction],
        *,
        slots: int = 50,
        user_slots: int = 8,
        ttl_seconds: float = 10,
        **options: Any,
    ) -> AsyncIterator[Worker]:
        """A worker that runs; it finishes what it holds when the block ends."""
        async with self.dispatcher(
            tasks=tuple(tasks), user_slots=user_slots, ttl_seconds=ttl_seconds, **options
        ) as dispatcher:
            worker = Worker(self.store, dispatcher, self.wake, tasks, slots=slots)
            running = asyncio.create_task(worker.run())
            try:
                yield worker
            finally:
                worker.finish()
                await running

    async def log(self, job_id: str, user: str = "ada", after: int = 0) -> list[JobEvent]:
        """The whole log, to the terminal event."""
        return [event async for page in self.client.follow(job_id, user, after) for event in page]


OpenEngine = Callable[..., AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def sqlite_engine(
    directory: Path, clock: Clock | None = None, *, limits: Limits | None = None
) -> AsyncIterator[Engine]:
    clock, transitions = clock or Clock(), Transitions()
    async with (
        DatagramWake(directory / "wake") as wake,
        SqliteStore(directory / "jobs.db", wake, clock=clock, transitions=transitions, limits=limits) as store,
        JobClient(store, wake) as client,
    ):
        locked = partial(_locked_file, directory / "jobs.db")
        yield Engine(store, wake, client, directory, transitions, locked, clock)


@contextlib.contextmanager
def _locked_file(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@asynccontextmanager
async def postgres_engine(
    directory: Path, clock: Clock | None = None, *, limits: Limits | None = None
) -> AsyncIterator[Engine]:
    async with borrowed_schema(str(directory)) as url, opened_postgres(url, directory, clock, limits=limits) as engine:
        yield engine


@asynccontextmanager
async def opened_postgres(
    url: str,
    directory: Path,
    clock: Clock | None = None,
    *,
    listen_url: str | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Engine]:
    clock, transitions = clock or Clock(), Transitions()
    async with (
        PostgresWake(listen_url or url) as wake,
        PostgresStore(url, wake, clock=clock, transitions=transitions, limits=limits) as store,
        JobClient(store, wake) as client,
    ):
        yield Engine(store, wake, client, directory, transitions, partial(_locked_table, url), clock)


@contextlib.contextmanager
def _locked_table(url: str) -> Iterator[None]:
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE job_events IN EXCLUSIVE MODE")
        yield


BACKENDS = {"postgres": postgres_engine, "sqlite": sqlite_engine}


def chat(text: str = "hello", **fields: object) -> JobRequest:
    """A chat turn of Ada's."""
    values: dict[str, object] = {"task": "chat", "user": "ada", "input": text} | fields
    return JobRequest(**values)  # type: ignore[arg-type]


def anything(
    *,
    alive: tuple[str, ...] = (),
    user_slots: int = 8,
    tasks: tuple[str, ...] = ("chat",),
    running: tuple[str, ...] = (),
) -> Eligibility:
    return Eligibility(tasks=tasks, alive=alive, user_slots=user_slots, running=running)


async def claim(store: JobStore, worker: str = "w1", **fields: Any) -> Job | None:
    """As a worker claims that runs all that it holds."""
    running = tuple(held.id for held in await store.held(worker))
    return await store.claim(worker, anything(running=running, **fields))


async def write(store: JobStore, job_id: str, *payloads: Payload, epoch: int = 1, after: int | None = None) -> int:
    """Append behind what stands there, or behind `after`."""
    if after is None:
        after = (await store.get(job_id)).last_seq
    return await store.append(job_id, epoch, [payload.entry() for payload in payloads], after=after)


def logged(seq: int, type: str, data: Mapping[str, object], *, at: float = 0.0, job_id: str = "job_1") -> JobEvent:
    """An event as the store returns it."""
    return JobEvent(job_id=job_id, seq=seq, type=type, at=at, data=to_stored(data))


def fields(event: JobEvent) -> dict[str, Any]:
    """What the event holds, besides seq, type and time."""
    data: dict[str, Any] = from_stored(event.data)
    return data


def types(events: list[JobEvent]) -> list[str]:
    return [event.type for event in events]


def is_gapless(events: list[JobEvent]) -> bool:
    return [event.seq for event in events] == list(range(1, len(events) + 1))
