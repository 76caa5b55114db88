"""A store that fails for a moment costs no word and doubles none; one that fails for long costs an attempt."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from jobs import JSON, Job, JobContext, JobEvent, Step
from jobs import worker as worker_module
from jobs import writer as writer_module
from jobs.errors import StoreUnavailable
from jobs.events import Entry
from jobs.postgres import database as postgres
from jobs.sqlite import database as sqlite
from jobs.transcript import Transcript
from tests.jobs.engine import Engine, chat, fields, is_gapless, types

SOON = 20.0
WORDS = [f"w{n} " for n in range(6)]


class FailingStore:
    """A store whose appends fail while `fails(number, entries)` says so, each in the way that `how` is."""

    def __init__(self, engine: Engine, how: str, fails: Callable[[int, Sequence[Entry]], bool]) -> None:
        self._engine = engine
        self._store = engine.store
        self._how = how
        self._fails = fails
        self.appends = 0
        self.failed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(
        self, job_id: str, epoch: int, entries: Sequence[Entry], *, after: int, **options: Any
    ) -> asyncio.Future[int]:
        self.appends += 1
        if not self._fails(self.appends, entries):
            return self._store.append(job_id, epoch, entries, after=after, **options)
        self.failed += 1
        if self._how == "before the commit":
            return asyncio.ensure_future(fail())
        if self._how == "after the commit":
            return asyncio.ensure_future(fail(self._store.append(job_id, epoch, entries, after=after, **options)))
        locked = self._engine.locked()
        locked.__enter__()
        written = self._store.append(job_id, epoch, entries, after=after, **options)
        written.add_done_callback(lambda _: locked.__exit__(None, None, None))
        return written


async def fail(written: asyncio.Future[int] | None = None) -> int:
    """Later than what is sent meanwhile."""
    for _ in range(5):
        await asyncio.sleep(0)
    if written is not None:
        await written
    raise StoreUnavailable from sqlite3.OperationalError("disk I/O error")


async def talk(ctx: JobContext) -> JSON:
    """Text that nobody waits for, and steps that end right behind it."""

    async def speak(step: Step) -> JSON:
        for word in WORDS:
            step.text(word)
            ctx.deltas.flush()
        await step.progress(1, 2)
        return len(WORDS)

    async def call(step: Step) -> JSON:
        await step.log("info", "called")
        return {"attempt": step.attempt}

    spoken = await ctx.step("model:1", speak, name="model", kind="model")
    return [spoken, await ctx.step("model:1/call:0", call, name="tool", kind="tool", parent="model:1")]


async def follow(engine: Engine, job: Job) -> list[JobEvent]:
    async with asyncio.timeout(SOON):
        return await engine.log(job.id)


async def run(engine: Engine, store: Any, task: Callable[[JobContext], Awaitable[JSON]] = talk) -> list[JobEvent]:
    """What a follower saw, which is what the log holds."""
    job = await engine.client.submit(chat())
    async with replace(engine, store=store).working({"chat": task}):
        seen = await follow(engine, job)
    assert seen == await engine.store.read(job.id, 0, 1000)
    assert is_gapless(seen)
    return seen


def essence(events: list[JobEvent]) -> list[tuple[str, object]]:
    """All but times and the worker's name."""
    times = {"seconds": 0, "stalled_after_seconds": 0, "worker": ""}
    return [(e.type, {**fields(e), **times}) for e in events]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(worker_module, "STORE_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_SECONDS", 0.02)
    monkeypatch.setattr(postgres, "LOCK_SECONDS", 0.02)


@pytest.mark.parametrize("how", ["before the commit", "after the commit", "by a lock"])
async def test_whichever_append_fails_once_the_log_is_the_same(engine: Engine, how: str) -> None:
    whole = FailingStore(engine, how, lambda number, _: False)
    log = await run(engine, whole)
    expected = essence(log)
    assert Transcript.of(log).answer == "".join(WORDS)
    for nth in range(1, whole.appends + 1):
        store = FailingStore(engine, how, lambda number, _, nth=nth: number == nth)  # type: ignore[misc]
        assert essence(await run(engine, store)) == expected, f"append {nth} failed {how}"
        assert store.failed == 1


async def test_appends_that_fail_keep_running_for_a_while_change_nothing(engine: Engine) -> None:
    store = FailingStore(engine, "before the commit", lambda number, _: number % 3 != 0)
    events = await run(engine, store)
    assert store.failed > len(events)
    assert Transcript.of(events).answer == "".join(WORDS)
    assert types(events).count("job.started") == 1


async def test_what_cannot_be_written_for_long_ends_the_attempt_and_the_job_goes_on_from_its_checkpoints(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "MAX_RESEND_SECONDS", 0.05)
    ran: list[str] = []

    async def task(ctx: JobContext) -> JSON:
        async def work(step: Step) -> JSON:
            ran.append(f"{step.path} {step.attempt}")
            step.text(f"{step.path} ")
            return None

        for path in ("model:1", "model:2"):
            await ctx.step(path, work, name="model", kind="model")
        return "done"

    def out_of_reach(_: int, entries: Sequence[Entry]) -> bool:
        return len(ran) == 2 and any(entry.type == "step.finished" for entry in entries)

    events = await run(engine, FailingStore(engine, "before the commit", out_of_reach), task)
    assert ran == ["model:1 1", "model:2 1", "model:2 2"]
    assert [fields(e)["attempt"] for e in events if e.type == "job.started"] == [1, 2]
    assert Transcript.of(events).answer == "model:1 model:2 "
    assert fields(events[-1])["result"] == "done"
    problems = [record.__dict__.get("fields", {}).get("problem") for record in caplog.records]
    assert "disk I/O error" in problems, "the operator reads the store's own reason"


async def test_a_job_that_is_stopped_while_the_store_fails_is_stopped(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_RESEND_SECONDS", 0.05)
    begun = asyncio.Event()

    async def task(ctx: JobContext) -> JSON:
        async def wait(step: Step) -> JSON:
            begun.set()
            return await asyncio.Future()

        return await ctx.step("model:1", wait, name="model", kind="model")

    def out_of_reach(_: int, entries: Sequence[Entry]) -> bool:
        return begun.is_set()

    job = await engine.client.submit(chat())
    store: Any = FailingStore(engine, "before the commit", out_of_reach)
    async with replace(engine, store=store).working({"chat": task}):
        await begun.wait()
        await engine.client.cancel(job.id, "ada")
        events = await follow(engine, job)
    assert types(events)[-1] == "job.cancelled"
    assert store.failed > 0


@pytest.mark.parametrize("call", ["claim", "renew"])
async def test_a_claim_whose_answer_is_lost_loses_no_job(
    engine: Engine, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker holds a job that it has not heard of."""
    monkeypatch.setattr(writer_module, "MAX_RESEND_SECONDS", 0.05)
    real, lost = getattr(engine.store, call), list[Job]()

    async def answer_lost(*args: Any) -> Any:
        answer = await real(*args)
        if answer is not None and not lost:
            lost.append(answer)
            raise StoreUnavailable
        return answer

    monkeypatch.setattr(engine.store, call, answer_lost)

    def out_of_reach(_: int, entries: Sequence[Entry]) -> bool:
        return call == "renew" and not lost and any(entry.type == "step.finished" for entry in entries)

    events = await run(engine, FailingStore(engine, "before the commit", out_of_reach))
    assert lost
    assert events[-1].type == "job.completed"
    assert Transcript.of(events).answer == "".join(WORDS)
