"""Following a job: from any seq, any number of followers, exactly once, to the end."""

from __future__ import annotations

import asyncio

import pytest

from jobs import JobEvent, JobNotFound
from jobs.events import JobCompleted, TextDelta
from jobs.tail import MAX_BATCH, MAX_TAIL
from jobs.wake import job_topic
from tests.jobs.engine import Engine, OpenEngine, chat, claim, is_gapless, types, write
from tests.waiting import until

SOON = 30.0
DONE = JobCompleted(result=None, usage=None)


async def begin(engine: Engine, **fields: object) -> str:
    job = await engine.client.submit(chat(**fields))  # type: ignore[arg-type]
    await claim(engine.store, "w1", alive=("w1",))
    return job.id


async def say(engine: Engine, job_id: str, count: int) -> None:
    for n in range(count):
        await write(engine.store, job_id, TextDelta(step="model:1", text=f"{n} "))


async def at_the_live_end(engine: Engine, job_id: str, followers: int = 1) -> None:
    tails = engine.client._tails

    def everybody_is_there() -> bool:
        tail = tails._tails.get(job_id)
        return tail is not None and tail.followers == followers and tail.last_seq >= 2 and not tails._dirty

    await until(everybody_is_there, within=SOON, what="everybody follows the live end")


async def test_followers_from_any_seq_see_exactly_what_is_behind_it(open_engine: OpenEngine) -> None:
    async with open_engine() as web, open_engine() as worker:
        job_id = await begin(worker)
        late = asyncio.Event()

        async def follow(after: int, wait: bool) -> list[JobEvent]:
            if wait:
                await late.wait()
            return await web.log(job_id, after=after)

        followers = [asyncio.create_task(follow(n % 7, n % 2 == 1)) for n in range(50)]
        await say(worker, job_id, 40)
        late.set()
        await say(worker, job_id, 40)
        await write(worker.store, job_id, DONE)
        async with asyncio.timeout(SOON):
            logs = await asyncio.gather(*followers)
        whole = await worker.store.read(job_id, 0, 1000)
        assert is_gapless(whole)
        for n, log in enumerate(logs):
            assert log == whole[n % 7 :]


async def test_many_followers_of_one_job_share_one_read_of_the_store(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await begin(engine)
    followers = [asyncio.create_task(engine.log(job_id)) for _ in range(200)]
    reads = 0
    read_many = engine.store.read_many

    async def counted(after: dict[str, int], limit: int) -> list[JobEvent]:
        nonlocal reads
        reads += 1
        return await read_many(after, limit)

    # The first read of each follower is its own, wherever it starts; from then on they share.
    await at_the_live_end(engine, job_id, len(followers))
    monkeypatch.setattr(engine.store, "read_many", counted)
    await say(engine, job_id, 20)
    await write(engine.store, job_id, DONE)
    async with asyncio.timeout(SOON):
        logs = await asyncio.gather(*followers)
    assert all(log == logs[0] for log in logs)
    assert reads <= 25


async def test_many_who_come_late_share_the_pages_and_leave_none_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await begin(engine)
    await write(engine.store, job_id, *(TextDelta(step="m", text=str(n)) for n in range(5 * MAX_BATCH)))
    await write(engine.store, job_id, DONE)
    reads: list[int] = []
    read = engine.store.read

    async def counted(job_id: str, after: int, limit: int) -> list[JobEvent]:
        reads.append(after)
        return await read(job_id, after, limit)

    monkeypatch.setattr(engine.store, "read", counted)
    leaving = engine.client.follow(job_id, "ada")
    await anext(leaving)
    async with asyncio.timeout(SOON):
        early = asyncio.create_task(anext(leaving))
        whole = [asyncio.create_task(engine.log(job_id)) for _ in range(50)]
        early.cancel()  # whoever reads a page for all may go
        logs = await asyncio.gather(*whole)
        await asyncio.gather(early, return_exceptions=True)
    assert is_gapless(logs[0])
    assert all(log == logs[0] for log in logs)
    assert sum(after == MAX_BATCH for after in reads) < len(whole) / 5, "who comes after a page was read reads it again"
    assert len(reads) < len(whole), "the last page, which is short, may be read again"
    assert not engine.client._tails._batches._reads


async def test_a_follower_that_pauses_misses_nothing_and_holds_up_nobody(engine: Engine) -> None:
    job_id = await begin(engine)
    slow = engine.client.follow(job_id, "ada")
    seen = list(await anext(slow))
    quick = asyncio.create_task(engine.log(job_id))
    await write(engine.store, job_id, *(TextDelta(step="m", text=str(n)) for n in range(MAX_TAIL + 500)))
    await write(engine.store, job_id, DONE)
    async with asyncio.timeout(SOON):
        whole = await quick
        async for page in slow:
            seen += page
    assert seen == whole
    assert is_gapless(seen)


async def test_a_lost_wake_up_is_made_good_by_the_safety_poll(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = await begin(engine)
    following = asyncio.create_task(engine.log(job_id))
    monkeypatch.setattr(engine.wake, "notify", lambda topics: None)
    await say(engine, job_id, 3)
    await write(engine.store, job_id, DONE)
    async with asyncio.timeout(SOON):
        assert is_gapless(await following)


async def test_a_lost_wake_up_is_made_good_also_while_others_are_busy(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, busy = await begin(engine), await begin(engine)
    following = asyncio.create_task(engine.log(job_id))
    watching = asyncio.create_task(engine.log(busy))
    await at_the_live_end(engine, job_id)
    notify = engine.wake.notify
    monkeypatch.setattr(engine.wake, "notify", lambda topics: notify(set(topics) - {job_topic(job_id)}))
    await write(engine.store, job_id, DONE)
    async with asyncio.timeout(SOON):
        while not following.done():
            await say(engine, busy, 1)
            await asyncio.sleep(0.01)
    assert is_gapless(following.result())
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_who_joins_a_read_that_was_begun_before_the_end_sees_the_end(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await begin(engine)
    begun, go_on = asyncio.Event(), asyncio.Event()
    read, seen = engine.store.read, 0

    async def slow(job_id: str, after: int, limit: int) -> list[JobEvent]:
        nonlocal seen
        seen += 1
        events = await read(job_id, after, limit)
        if seen == 1:
            begun.set()
            await go_on.wait()
        return events

    monkeypatch.setattr(engine.store, "read", slow)
    tails = engine.client._tails
    first = asyncio.create_task(tails._batches.read(job_id, 2))
    await begun.wait()
    second = asyncio.create_task(tails._batches.read(job_id, 2))
    await write(engine.store, job_id, DONE)
    go_on.set()
    async with asyncio.timeout(SOON):
        assert await first == []
        assert types(await second) == ["job.completed"]


async def test_an_ended_job_is_replayed_and_behind_its_end_there_is_nothing(engine: Engine) -> None:
    job_id = await begin(engine)
    await say(engine, job_id, 3)
    await write(engine.store, job_id, DONE)
    async with asyncio.timeout(SOON):
        log = await engine.log(job_id)
        assert is_gapless(log)
        for after in (len(log), 10**9):
            assert await engine.log(job_id, after=after) == []
        assert await engine.log(job_id, after=-5) == log


async def test_a_long_log_is_read_in_batches_so_that_others_have_their_turn(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store)
    await write(engine.store, job.id, *(TextDelta(step="m", text=str(n)) for n in range(2 * MAX_BATCH)))
    batches = [batch async for batch in engine.client.log(job.id)]
    assert [len(batch) for batch in batches] == [MAX_BATCH, MAX_BATCH, 2]
    assert is_gapless([event for batch in batches for event in batch])


async def test_a_follower_far_ahead_of_a_running_job_still_sees_its_end(engine: Engine) -> None:
    job_id = await begin(engine)
    following = asyncio.create_task(engine.log(job_id, after=10**9))
    await asyncio.sleep(0)
    await say(engine, job_id, 3)
    await write(engine.store, job_id, DONE)
    async with asyncio.timeout(SOON):
        assert (await following)[-1].terminal


async def test_another_users_job_cannot_be_followed(engine: Engine) -> None:
    job_id = await begin(engine)
    with pytest.raises(JobNotFound):
        await anext(engine.client.follow(job_id, "bob"))


async def test_a_follower_of_something_purged_gets_an_error_and_the_end(engine: Engine) -> None:
    job_id = await begin(engine, thread_id="t")
    following = engine.client.follow(job_id, "ada")
    await anext(following)
    await engine.store.purge_thread("t")
    with pytest.raises(JobNotFound):
        async with asyncio.timeout(SOON):
            await anext(following)


async def test_a_thread_tells_of_jobs_that_begin_elsewhere_and_of_its_end(open_engine: OpenEngine) -> None:
    async with open_engine() as here, open_engine() as elsewhere:
        await here.client.submit(chat("a", thread_id="t"))
        following = aiter(here.client.follow_thread("t", "ada"))
        async with asyncio.timeout(SOON):
            assert [job.request.input for job in await anext(following)] == ["a"]
            await elsewhere.client.submit(chat("b", thread_id="t"))
            assert [job.request.input for job in await anext(following)] == ["a", "b"]
            await elsewhere.client.delete_thread("t", "ada")
            with pytest.raises(StopAsyncIteration):
                await anext(following)


async def test_a_thread_that_another_user_begins_under_the_name_of_a_deleted_one_is_not_followed(
    engine: Engine,
) -> None:
    job = await engine.client.submit(chat("a", thread_id="t"))
    await engine.client.cancel(job.id, "ada")
    following = aiter(engine.client.follow_thread("t", "ada"))
    async with asyncio.timeout(SOON):
        assert [one.id for one in await anext(following)] == [job.id]
        await engine.store.delete_job(job.id, "ada")
        assert await anext(following) == []
        await engine.client.delete_thread("t", "ada")
        await engine.store.purge_thread("t")
        await engine.client.submit(chat("a secret of Bob's", thread_id="t", user="bob"))
        with pytest.raises(StopAsyncIteration):
            await anext(following)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await anext(engine.client.follow_thread("t", "ada"))
