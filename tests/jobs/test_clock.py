"""The wall clock jumps by a year, forwards and back, under a store that is used."""

from __future__ import annotations

import pytest

from jobs.estimates import Place, run_of_job, starts_in
from jobs.events import JobCompleted
from tests.jobs.engine import Engine, chat, claim, write

YEAR = 365 * 86_400.0
BOTH = pytest.mark.parametrize("jump", [YEAR, -YEAR], ids=["forwards", "back"])


@BOTH
async def test_a_shared_rate_goes_on_as_before(engine: Engine, jump: float) -> None:
    for _ in range(3):
        await engine.store.reserve("model", 1, per_minute=30)
    engine.clock.now += jump
    first = await engine.store.reserve("model", 1, per_minute=30)
    assert first == (0 if jump > 0 else 6)
    assert await engine.store.reserve("model", 1, per_minute=30) == first + 2
    engine.clock.now -= jump
    assert await engine.store.reserve("model", 1, per_minute=30) <= first + 4


async def test_clocks_of_machines_that_differ_a_little_share_one_rate(engine: Engine) -> None:
    waits = []
    for ahead in (0, 0.5, 0, 0.5):
        engine.clock.now += ahead
        waits.append(await engine.store.reserve("model", 1, per_minute=30) + ahead)
        engine.clock.now -= ahead
    assert waits == [0, 2, 4, 6]


@BOTH
async def test_a_job_runs_waits_and_ends_across_the_jump_in_the_queues_order(engine: Engine, jump: float) -> None:
    first, second = await engine.store.submit(chat("a")), await engine.store.submit(chat("b"))
    taken = await claim(engine.store)
    assert taken is not None
    assert taken.id == first.id
    engine.clock.now += jump
    third = await engine.store.submit(chat("c"))
    assert await engine.store.positions([second, third]) == {second.id: 0, third.id: 1}
    await write(engine.store, first.id, JobCompleted(result="done", usage=None))
    assert (await engine.store.get(first.id)).ended
    for expected in (second, third):
        taken = await claim(engine.store)
        assert taken is not None
        assert taken.id == expected.id
        await write(engine.store, taken.id, JobCompleted(result="done", usage=None))
    assert [event.seq for event in await engine.store.read(second.id, 0, 100)] == [1, 2, 3]


async def test_what_ended_before_the_clock_was_set_back_is_no_news_for_a_year(engine: Engine) -> None:
    async def end(text: str) -> str:
        job = await engine.store.submit(chat(text))
        await claim(engine.store)
        await write(engine.store, job.id, JobCompleted(result="done", usage=None))
        return job.id

    engine.clock.now += YEAR
    await end("a year ahead")
    engine.clock.now -= YEAR
    since = engine.clock.now
    engine.clock.now += 1
    now = await end("today")
    assert [job.id for job in await engine.store.changed_jobs("ada", since, 10)] == [now]


def test_a_job_that_seems_to_begin_in_a_year_holds_up_the_queue_for_no_longer_than_usual() -> None:
    line = [
        Place(id="runs", task="chat", thread_id=None, started_at=YEAR),
        Place(id="waits", task="chat", thread_id=None, started_at=None),
    ]
    past = {"job chat": [run_of_job("chat", 10.0)] * 5}
    assert starts_in(line, past, now=0.0)["waits"] == (10.0, 10.0)
