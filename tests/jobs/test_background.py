"""One error must not end what others wait for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import background
from background import keep_running
from jobs import JSON, JobContext
from tests.jobs.engine import Engine, chat
from tests.waiting import until

SOON = 30.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PAUSE_SECONDS", 0.01)


def failing_once(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    failures = [sqlite3.OperationalError("database is locked")]

    async def call(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await function(*arguments)

    return call


async def test_work_goes_on_after_a_failure_and_ends_when_it_says_so() -> None:
    rounds: list[int] = []

    async def work() -> bool:
        rounds.append(len(rounds))
        if len(rounds) == 2:
            raise ValueError("once")
        return len(rounds) == 4

    await asyncio.wait_for(keep_running(work, name="work"), SOON)
    assert rounds == [0, 1, 2, 3]


async def test_a_failed_read_does_not_end_the_followers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def task(ctx: JobContext) -> JSON:
        return None

    monkeypatch.setattr(engine.store, "last_seqs", failing_once(engine.store.last_seqs))
    job = await engine.client.submit(chat())
    following = asyncio.create_task(engine.log(job.id))
    async with engine.working({"chat": task}):
        assert (await asyncio.wait_for(following, SOON))[-1].terminal


async def test_a_failed_look_does_not_end_the_obedience_to_stop(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def task(ctx: JobContext) -> JSON:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(engine.store, "held", failing_once(engine.store.held))
    job = await engine.client.submit(chat())
    async with engine.working({"chat": task}):
        await asyncio.wait_for(begun.wait(), SOON)
        await engine.client.cancel(job.id, "ada")
        assert (await asyncio.wait_for(engine.log(job.id), SOON))[-1].type == "job.cancelled"


async def test_a_failed_observation_leaves_the_dispatcher_taking(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.store, "workers", failing_once(engine.store.workers))
    ran: list[str] = []

    async def task(ctx: JobContext) -> JSON:
        ran.append(ctx.job.id)
        return None

    async with engine.working({"chat": task}):
        await engine.client.submit(chat())
        await until(lambda: ran, within=SOON, what="the job runs")
