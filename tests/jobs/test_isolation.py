"""A job under which workers die: suspected after two deaths, alone from then on, condemned only by deaths alone."""

from __future__ import annotations

import asyncio

import pytest

from jobs import JSON, JobContext, Step, rules
from jobs.events import StepFinished, StepStarted
from jobs.isolation import START_SECONDS, Isolation
from jobs.rules import ALONE, MAX_ALONE, MAX_DEATHS_ALONE, SUSPECT_DEATHS, JobHead
from jobs.store import JobFilter
from jobs.worker import Worker
from tests.jobs.engine import Clock, Engine, chat, claim, fields, types, write
from tests.waiting import until

SOON = 20.0


def head(number: int, *, deaths: int = SUSPECT_DEATHS, worker: str | None = "dead") -> JobHead:
    return JobHead(f"job_{number}", 0, number, 2, "chat", "ada", None, 0, worker, None, deaths)


def test_the_job_with_the_most_deaths_is_isolated_first_and_of_equals_the_newest() -> None:
    suspects = [head(1, deaths=4), head(2, deaths=5), head(3, deaths=5), head(4, deaths=2)]
    apart, together = rules.isolated(suspects, alive={"w"})
    assert [one.id for one in apart] == ["job_3", "job_2"]
    assert sorted(together) == ["job_1", "job_4"]


def test_what_runs_alone_takes_a_place_and_what_runs_is_left_where_it_is() -> None:
    alone = f"{ALONE}1"
    suspects = [head(1), head(2, worker=alone), head(3, worker="w")]
    apart, together = rules.isolated(suspects, alive={alone, "w"})
    assert ([one.id for one in apart], together) == (["job_1"], [])
    both = [*suspects[:2], head(4, worker=f"{ALONE}2")]
    assert rules.isolated(both, alive={alone, f"{ALONE}2"}) == ([], ["job_1"])
    assert MAX_ALONE == 2


async def died(engine: Engine, job_id: str, *workers: str) -> None:
    """Each takes the job over from the one before, which has died."""
    for worker in workers:
        claimed = await claim(engine.store, worker)
        assert claimed is not None
        assert claimed.id == job_id


async def test_after_two_deaths_a_job_is_a_suspect_until_it_finishes_a_step(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await died(engine, job.id, "w1", "w2")
    assert await engine.store.suspects() == []
    await died(engine, job.id, "w3")
    assert [(one.id, one.deaths) for one in await engine.store.suspects()] == [(job.id, 2)]
    step = StepStarted(step="model:1", name="model", kind="model", attempt=1)
    await write(engine.store, job.id, step, epoch=3)
    assert len(await engine.store.suspects()) == 1
    await write(engine.store, job.id, StepFinished(step="model:1", seconds=1.0, output=None), epoch=3)
    assert await engine.store.suspects() == []


async def test_what_a_worker_hands_over_or_begins_again_is_no_death(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    for number in range(5):
        claimed = await claim(engine.store, f"w{number}")
        assert claimed is not None
        renewed = await engine.store.renew(job.id, claimed.epoch)
        await engine.store.release(job.id, renewed.epoch)
    assert await engine.store.suspects() == []


async def test_a_suspect_is_left_to_a_worker_of_its_own_and_others_go_on(engine: Engine) -> None:
    suspect = await engine.store.submit(chat("suspect"))
    await died(engine, suspect.id, "w1", "w2", "w3")
    other = await engine.store.submit(chat("other"))
    asked: list[str] = []
    ran: list[tuple[str, str]] = []

    async def task(ctx: JobContext) -> JSON:
        ran.append((str(ctx.job.request.input), str(ctx.job.worker)[: len(ALONE)]))
        return None

    async with engine.working({"chat": task}, isolate=asked.append), asyncio.timeout(SOON):
        await engine.log(other.id)
        await until(lambda: suspect.id in asked, within=SOON, what="a worker of its own is asked for")
        assert ran == [("other", "worker")]
        async with engine.working({"chat": task}, only=suspect.id):
            await engine.log(suspect.id)
    assert ran[1:] == [("suspect", ALONE)]


async def test_a_worker_for_one_job_takes_no_other_and_ends(engine: Engine) -> None:
    taken = await engine.store.submit(chat())
    await engine.store.submit(chat("waits"))

    async def task(ctx: JobContext) -> JSON:
        raise AssertionError("must not be begun")

    async with engine.dispatcher(only=taken.id) as dispatcher, asyncio.timeout(SOON):
        await Worker(engine.store, dispatcher, engine.wake, {"chat": task}, slots=1).run()
    assert [job.status for job in await engine.store.jobs(JobFilter(user="ada"))] == ["queued", "queued"]


async def test_a_suspect_that_gets_no_worker_of_its_own_goes_on_among_the_others(engine: Engine) -> None:
    suspect = await engine.store.submit(chat())
    await died(engine, suspect.id, "w1", "w2", "w3")
    clock, asked = Clock(0.0), list[str]()
    isolation = Isolation(engine.store, asked.append, clock=clock)
    assert await isolation.among_others(["w4"]) == []
    clock.now = START_SECONDS - 1
    assert await isolation.among_others(["w4"]) == []
    clock.now = START_SECONDS + 1
    assert await isolation.among_others(["w4"]) == [suspect.id]
    assert set(asked) == {suspect.id}


@pytest.mark.parametrize(("prefix", "condemned"), [(ALONE, True), ("worker_", False)])
async def test_only_deaths_alone_condemn_a_job(engine: Engine, prefix: str, *, condemned: bool) -> None:
    job = await engine.store.submit(chat())
    await died(engine, job.id, *(f"{prefix}{number}" for number in range(MAX_DEATHS_ALONE)))

    async def task(ctx: JobContext) -> JSON:
        async def work(step: Step) -> JSON:
            return "done"

        return await ctx.step("model:1", work, name="model", kind="model")

    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        events = await engine.log(job.id)
    assert types(events)[-1] == ("job.failed" if condemned else "job.completed")
    if condemned:
        assert fields(events[-1])["error"]["code"] == "interrupted_too_often"
