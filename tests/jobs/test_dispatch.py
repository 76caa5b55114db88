"""What every dispatcher promises."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import JSON, Job, JobContext, JobFailed, JobStatus, Step
from jobs.dispatch import Dispatcher
from jobs.events import JobCompleted
from jobs.local import LocalLiveness, WorkerLock, is_free
from jobs.models import WorkerRecord
from jobs.transcript import Transcript
from tests.jobs.engine import Clock, Engine, OpenEngine, chat, is_gapless, write
from tests.waiting import until

JOBS, THOROUGH_JOBS, SLOTS = 120, 1_000, 3
PATIENCE = 120.0
SOON = 30.0
"""Above any wake-up or safety poll, below a hang."""


async def take(dispatcher: Dispatcher, *running: str) -> Job:
    async with asyncio.timeout(SOON):
        job = await dispatcher.take({*running})
    assert job is not None
    return job


async def test_a_submitted_job_reaches_a_waiting_worker_by_a_wake_up_and_not_by_the_poll(
    open_engine: OpenEngine, monkeypatch: object
) -> None:
    async with open_engine() as web, open_engine() as side, side.dispatcher() as dispatcher:
        taking = asyncio.create_task(take(dispatcher))
        await until(lambda: side.wake is not None, within=SOON, what="the dispatcher listens")
        job = await web.store.submit(chat())
        assert (await taking).id == job.id


async def test_although_every_notification_is_lost_a_job_is_run_and_followed_to_its_end(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def talk(ctx: JobContext) -> JSON:
        return await ctx.step("model:1", say, name="model", kind="model")

    async def say(step: Step) -> JSON:
        step.text("hello")
        return None

    async with open_engine() as web, open_engine() as side:
        for engine in (web, side):
            monkeypatch.setattr(engine.wake, "notify", lambda topics: None)
        async with side.working({"chat": talk}), asyncio.timeout(SOON):
            job = await web.client.submit(chat())
            log = await web.log(job.id)
    assert is_gapless(log)
    assert Transcript.of(log).answer == "hello"


async def test_a_dead_worker_is_noticed_by_one_that_is_busy_and_woken_all_the_time(engine: Engine) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def work(_: JobContext) -> JSON:
        begun.set()
        await release.wait()
        return None

    elsewhere = WorkerRecord(id="w9", beat=7, stopped=False, tasks=("chat",), catalogue=(), machine="elsewhere/1")
    await engine.store.register_worker(elsewhere)
    async with engine.working({"chat": work}, slots=1, ttl_seconds=1):
        await engine.client.submit(chat())
        await begun.wait()

        async def noticed() -> bool:
            engine.wake.notify(["queue"])
            return any(one.id == "w9" and one.stopped for one in await engine.store.workers())

        await until(noticed, within=SOON, what="the dead worker is declared stopped")
        release.set()


async def test_a_worker_whose_record_is_gone_registers_again_and_goes_on(engine: Engine) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def work(_: JobContext) -> JSON:
        begun.set()
        await release.wait()
        return None

    async with engine.working({"chat": work}):
        running = await engine.client.submit(chat())
        await begun.wait()
        [before] = await engine.store.workers()
        await engine.store.remove_worker(before.id)
        await until(engine.store.workers, within=SOON, what="the worker is registered again")
        [after] = await engine.store.workers()
        assert (after.id, after.tasks) == (before.id, before.tasks)
        release.set()
        assert [event.type for event in await engine.log(running.id)].count("job.started") == 1


async def test_many_workers_keep_each_threads_order_and_each_users_slots_and_leave_nothing_behind(
    open_engine: OpenEngine, pytestconfig: pytest.Config
) -> None:
    """16 workers on 4 stores; each user has 6 threads and 3 slots; a fifth of the jobs fail and are retried."""
    jobs = THOROUGH_JOBS if pytestconfig.getoption("--thorough") else JOBS
    running: list[tuple[str, str]] = []
    broken: list[str] = []

    async def work(ctx: JobContext) -> JSON:
        place = (ctx.job.user, str(ctx.job.thread_id))
        running.append(place)
        if running.count(place) > 1:
            broken.append(f"two turns of {place} at a time")
        if sum(user == ctx.job.user for user, _ in running) > SLOTS:
            broken.append(f"too many jobs of {ctx.job.user}")
        await asyncio.sleep(0.002)
        running.remove(place)
        if int(str(ctx.job.request.input)) % 5 == 0 and ctx.job.retry_of is None:
            raise JobFailed("unlucky", "Once more.")
        return None

    async def run(engine: Engine, number: int) -> None:
        user, thread = f"user{number % 4}", f"thread{number % 24}"
        job = await engine.client.submit(chat(str(number), user=user, thread_id=thread))
        while (await engine.log(job.id, user))[-1].type == "job.failed":
            job = await engine.client.retry(job.id, user)

    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        engines = [await stack.enter_async_context(open_engine()) for _ in range(4)]
        for engine in engines * 4:
            await stack.enter_async_context(engine.working({"chat": work}, slots=2, user_slots=SLOTS))
        await asyncio.gather(*(run(engines[number % 4], number) for number in range(jobs)))
        assert not broken
        assert (await engines[0].store.queue()).jobs == 0
        counts = await engines[0].store.counts()
    assert counts == {("chat", JobStatus.COMPLETED): jobs, ("chat", JobStatus.FAILED): -(-jobs // 5)}


async def test_the_next_turn_starts_when_the_one_before_has_ended(engine: Engine) -> None:
    async with engine.dispatcher() as dispatcher:
        first = await engine.store.submit(chat("a", thread_id="t"))
        second = await engine.store.submit(chat("b", thread_id="t"))
        held = await take(dispatcher)
        assert held.id == first.id
        taking = asyncio.create_task(take(dispatcher, held.id))
        await write(engine.store, first.id, JobCompleted(result=None, usage=None), epoch=held.epoch)
        assert (await taking).id == second.id


async def test_a_dispatcher_that_was_told_to_stop_gives_nothing_and_claims_nothing(engine: Engine) -> None:
    async with engine.dispatcher() as dispatcher:
        taking = asyncio.create_task(dispatcher.take(set()))
        dispatcher.stop_taking()
        assert await asyncio.wait_for(taking, SOON) is None
        job = await engine.store.submit(chat())
        assert await dispatcher.take(set()) is None
        assert (await engine.store.get(job.id)).worker is None


async def test_jobs_of_a_dead_worker_are_taken_over(engine: Engine) -> None:
    dead = engine.dispatcher()
    await dead.__aenter__()
    job = await engine.store.submit(chat())
    assert (await take(dead)).epoch == 1
    # The process dies: the kernel frees its lock, nobody takes its record off.
    os.close(dead._lock._descriptor)
    async with engine.dispatcher() as other:
        taken = await take(other)
        assert (taken.id, taken.epoch) == (job.id, 2)
        await write(engine.store, taken.id, JobCompleted(result=None, usage=None), epoch=2)
        taking = asyncio.create_task(other.take(set()))
        await until(
            lambda: _known(engine, dead.worker_id, False), within=SOON, what="the dead worker's record is cleared"
        )
        other.stop_taking()
        await taking
    dead._ending.set()
    await asyncio.to_thread(dead._heart.join)
    dead._unsubscribe()


async def _known(engine: Engine, worker: str, expected: bool) -> bool:
    return (worker in [one.id for one in await engine.store.workers()]) is expected


async def test_a_live_worker_keeps_its_jobs(engine: Engine) -> None:
    async with engine.dispatcher() as first, engine.dispatcher() as second:
        await engine.store.submit(chat("a"))
        held = await take(first)
        await engine.store.submit(chat("b"))
        other = await take(second)
        assert other.id != held.id
        taking = asyncio.create_task(second.take({other.id}))
        await second._workers()
        assert [job.id for job in await engine.store.held(first.worker_id)] == [held.id]
        second.stop_taking()
        assert await taking is None


def record(worker: str, beat: int) -> WorkerRecord:
    return WorkerRecord(id=worker, beat=beat, stopped=False, tasks=(), catalogue=())


def test_a_counter_that_stands_still_is_noticed_on_the_observers_own_clock(tmp_path: Path) -> None:
    clock = Clock()
    liveness = LocalLiveness(tmp_path, ttl_seconds=10, clock=clock)
    with WorkerLock(tmp_path, "w1"):
        assert liveness.stopped([record("w1", 5)]) == []
        for _ in range(9):
            clock.now += 1
            assert liveness.stopped([record("w1", 5)]) == []
        clock.now += 1
        assert [one.id for one in liveness.stopped([record("w1", 5)])] == ["w1"]
        assert liveness.stopped([record("w1", 6)]) == []


def test_time_in_which_nobody_could_look_counts_for_nobody(tmp_path: Path) -> None:
    """The database was out of reach: no counter could be advanced."""
    clock = Clock()
    liveness = LocalLiveness(tmp_path, ttl_seconds=10, clock=clock)
    with WorkerLock(tmp_path, "w1"):
        liveness.stopped([record("w1", 5)])
        clock.now += 60
        assert liveness.stopped([record("w1", 5)]) == []


def test_a_worker_of_this_machine_whose_file_moves_lives_although_its_counter_stands_still(tmp_path: Path) -> None:
    """Another program holds the database's lock: no counter can be written."""
    clock = Clock()
    liveness = LocalLiveness(tmp_path, ttl_seconds=3, clock=clock, machine="here")
    here, there = replace(record("w1", 5), machine="here"), replace(record("w2", 5), machine="there")
    with WorkerLock(tmp_path, "w1") as own, WorkerLock(tmp_path, "w2") as shared:
        stopped = []
        for _ in range(4):
            stopped = liveness.stopped([here, there])
            clock.now += 1
            own.touch()
            shared.touch()  # in a data dir of several machines, it says nothing here
        assert stopped == [there]
        for _ in range(3):
            assert here not in liveness.stopped([here])
            clock.now += 1
        assert liveness.stopped([here]) == [here]


def test_only_its_counter_shows_the_death_of_a_worker_on_another_machine(tmp_path: Path) -> None:
    clock = Clock()
    liveness = LocalLiveness(tmp_path, ttl_seconds=3, clock=clock, machine="here")
    there = replace(record("w1", 5), machine="there")
    assert liveness.alive([there, replace(record("w2", 5), machine="here")]) == [there]
    assert liveness.process_id(there) is None
    for _ in range(3):
        assert liveness.stopped([there]) == []
        clock.now += 1
    assert liveness.stopped([there]) == [there]
    assert liveness.alive([replace(there, stopped=True)]) == []


def test_a_lid_that_was_closed_counts_for_nobody(tmp_path: Path) -> None:
    """Both sides slept: the observer's clock did not run either."""
    clock = Clock()
    liveness = LocalLiveness(tmp_path, ttl_seconds=10, clock=clock)
    with WorkerLock(tmp_path, "w1"):
        liveness.stopped([record("w1", 5)])
        clock.now += 0.5  # an hour of sleep on the wall, half a second awake
        assert liveness.stopped([record("w1", 5)]) == []


def test_the_lock_tells_who_lives_and_observers_do_not_see_each_other(tmp_path: Path) -> None:
    assert is_free(tmp_path, "w1")
    with WorkerLock(tmp_path, "w1"):
        assert not is_free(tmp_path, "w1")
        assert LocalLiveness(tmp_path, ttl_seconds=1).process_id(record("w1", 0)) == os.getpid()
    assert is_free(tmp_path, "w1")
