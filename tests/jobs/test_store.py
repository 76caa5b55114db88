"""What every job store promises."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from background import cancel_and_wait
from jobs import EpochStale, Job, JobConflict, JobNotFound, JobRequest, JobStatus, KeyReused, ThreadNotFound, rules
from jobs.errors import LogBehind, QueueFull, RecordRefused
from jobs.events import (
    Artifact,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobFailedEvent,
    JobIncompleteEvent,
    Log,
    Payload,
    StepFinished,
    StepStarted,
    TextDelta,
)
from jobs.models import JSON, Folder, Limits, WorkerRecord
from jobs.sql.log import MAX_HEADS
from jobs.store import JobFilter, JobStore
from tests.jobs.engine import Engine, OpenEngine, anything, chat, claim, fields, is_gapless, types, write

DONE = JobCompleted(result={"text": "hi"}, usage=None)
CANCELLING = JobCancelling(by="ada")
FAILED = JobFailedEvent(error={"code": "model_unreachable", "message": "Try again."})


def step(path: str, kind: str = "model", attempt: int = 1) -> StepStarted:
    return StepStarted(step=path, name=path, kind=kind, attempt=attempt)  # type: ignore[arg-type]


def text(path: str, words: str) -> TextDelta:
    return TextDelta(step=path, text=words)


def finished(path: str, output: object = None) -> StepFinished:
    return StepFinished(step=path, seconds=0.1, output=output)


QUEUED_JOBS = 3


@pytest.fixture
async def limited(open_engine: OpenEngine) -> AsyncIterator[Engine]:
    """A user may have `QUEUED_JOBS` waiting jobs."""
    async with open_engine(limits=Limits(queued_jobs=QUEUED_JOBS)) as engine:
        yield engine


async def begun(store: JobStore, **fields: object) -> Job:
    """A job that a worker has just claimed."""
    await store.submit(chat(**fields))  # type: ignore[arg-type]
    claimed = await claim(store)
    assert claimed is not None
    return claimed


async def ended(engine: Engine, *payloads: Payload, **fields: object) -> str:
    """A job that ran with these events."""
    job = await engine.store.submit(chat(**fields))  # type: ignore[arg-type]
    claimed = await claim(engine.store, "w1")
    assert claimed is not None
    await write(engine.store, job.id, *payloads, epoch=claimed.epoch)
    return job.id


async def test_submit_writes_the_first_event_in_its_own_transaction(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    assert (job.status, job.last_seq, job.epoch) == (JobStatus.QUEUED, 1, 0)
    assert types(await engine.store.read(job.id, 0, 10)) == ["job.queued"]


async def test_the_same_key_submits_once(engine: Engine) -> None:
    first = await engine.store.submit(chat(key="k"))
    assert (await engine.store.submit(chat(key="k"))).id == first.id
    with pytest.raises(KeyReused):
        await engine.store.submit(chat("other words", key="k"))
    assert (await engine.store.submit(chat(key="k", user="bob"))).id != first.id


async def test_many_submits_of_one_key_at_once_make_one_job(engine: Engine) -> None:
    jobs = await asyncio.gather(*(engine.store.submit(chat(key="k")) for _ in range(20)))
    assert len({job.id for job in jobs}) == 1


async def test_so_many_jobs_of_one_user_may_wait_and_others_are_not_concerned(limited: Engine) -> None:
    for _ in range(QUEUED_JOBS):
        await limited.store.submit(chat())
    first = await limited.store.submit(chat(key="k", user="bob"))
    with pytest.raises(QueueFull, match=str(QUEUED_JOBS)):
        await limited.store.submit(chat())
    assert (await limited.store.submit(chat(key="k", user="bob"))).id == first.id
    await claim(limited.store, "w1")
    await limited.store.submit(chat())


async def test_a_retry_waits_too_and_a_draft_does_not(limited: Engine) -> None:
    failed = await limited.store.submit(chat())
    await limited.store.request_cancel(failed.id, "ada")
    for _ in range(QUEUED_JOBS):
        await limited.store.submit(chat())
    draft = await limited.store.draft(chat())
    for job in (failed, draft):
        with pytest.raises(QueueFull):
            await limited.store.retry(job.id, "ada")


async def test_a_thread_belongs_to_who_began_it(engine: Engine) -> None:
    await engine.store.submit(chat(thread_id="t"))
    with pytest.raises(ThreadNotFound):
        await engine.store.submit(chat(thread_id="t", user="bob"))
    with pytest.raises(ThreadNotFound):
        await engine.store.thread("t", "bob")


async def test_a_title_is_cut_from_the_first_message_at_a_words_end(engine: Engine) -> None:
    await engine.store.submit(chat("one\n two  three", thread_id="short"))
    await engine.store.submit(chat("word " * 40, thread_id="long"))
    assert (await engine.store.thread("short")).title == "one two three"
    title = (await engine.store.thread("long")).title
    assert title.endswith("word…")
    assert len(title) <= 61


async def test_another_users_job_is_not_found(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    with pytest.raises(JobNotFound):
        await engine.store.get(job.id, "bob")
    with pytest.raises(JobNotFound):
        await engine.store.retry(job.id, "bob")
    with pytest.raises(JobNotFound):
        await engine.store.delete_job(job.id, "bob")


async def test_a_claim_takes_the_oldest_job_and_the_next_epoch(engine: Engine) -> None:
    first, second = [await engine.store.submit(chat(name)) for name in ("a", "b")]
    claims = [await claim(engine.store, "w1", alive=("w1",)) for _ in range(3)]
    assert [claim and (claim.id, claim.epoch, claim.worker) for claim in claims] == [
        (first.id, 1, "w1"),
        (second.id, 1, "w1"),
        None,
    ]
    assert types(await engine.store.read(first.id, 0, 10)) == ["job.queued", "job.started"]


async def test_a_chat_turn_starts_before_a_batch_that_came_first(engine: Engine) -> None:
    batch = [await engine.store.submit(JobRequest(task="map_table", user="ada")) for _ in range(2)]
    turn = await engine.store.submit(chat())
    assert await engine.store.position(turn.id) == 0
    assert await engine.store.positions([*batch, turn]) == {turn.id: 0, batch[0].id: 1, batch[1].id: 2}
    claims = [await claim(engine.store, alive=("w1",), tasks=("chat", "map_table")) for _ in range(3)]
    assert [one and one.id for one in claims] == [turn.id, batch[0].id, batch[1].id]


async def test_a_job_of_a_protocol_that_a_worker_does_not_know_is_left_to_others(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    of_tomorrow = replace(anything(), protocols=frozenset({rules.PROTOCOL + 1}))
    assert await engine.store.claim("w2", of_tomorrow) is None
    assert await claim(engine.store, "w1") is not None
    assert await engine.store.claim("w2", of_tomorrow) is None, "not even when its worker is dead"
    taken = await claim(engine.store, "w3")
    assert (taken and taken.id) == job.id


async def test_a_turn_instead_stops_the_running_one_and_runs_before_those_that_wait(engine: Engine) -> None:
    store = engine.store
    first, second = [await store.submit(chat(text, thread_id="t")) for text in ("first", "second")]
    running = await claim(store, "w1")
    assert running
    now = chat("now", thread_id="t", key="once")
    instead = await store.submit(now, "instead")
    assert (await store.submit(now, "instead")).id == instead.id, "sent again"
    assert (await store.get(first.id)).cancelled_by == "ada"
    assert [message.type for held in await store.held("w1") for message in held.inbox] == ["job.cancelling"]
    assert [job.id for job in await store.thread_jobs("t")] == [first.id, instead.id, second.id]
    await write(store, first.id, JobCancelled(stopped=[]), epoch=running.epoch)
    claims = [await claim(store, "w1", alive=("w1",))]
    assert [one and one.id for one in claims] == [instead.id]


async def test_a_retry_that_waits_in_an_old_turn_is_not_moved_by_a_turn_instead(engine: Engine) -> None:
    store = engine.store
    old = await store.submit(chat("old", thread_id="t"))
    await store.request_cancel(old.id, "ada")
    await store.submit(chat("runs", thread_id="t"))
    assert await claim(store, "w1")
    retry = await store.retry(old.id, "ada")
    instead = await store.submit(chat("now", thread_id="t"), "instead")
    assert [(job.request.input, job.turn) for job in await store.thread_jobs("t")] == [
        ("old", 1),
        ("runs", 2),
        ("now", 3),
    ]
    assert ((await store.get(retry.id)).turn, instead.turn) == (1, 3)


async def test_a_request_reads_back_as_it_was_submitted(engine: Engine) -> None:
    request = chat("hi", thread_id="t", key="k", files=("f",), patience_seconds=1.5)
    job = await engine.store.submit(request)
    assert (job.request, (await engine.store.get(job.id)).request) == (request, request)


async def test_a_job_that_waits_is_withdrawn_by_deleting_it(engine: Engine) -> None:
    store = engine.store
    first, second = [await store.submit(chat(text, thread_id="t")) for text in ("first", "second")]
    assert await claim(store, "w1")
    with pytest.raises(JobConflict):
        await store.delete_job(first.id, "ada")
    removal = await store.delete_job(second.id, "ada")
    assert [job.id for job in await store.thread_jobs("t")] == [first.id]
    assert await store.removals() == [removal]
    await store.finish_removal(removal)
    assert await store.read(second.id, 0, 10) == []
    assert await store.removals() == []


async def test_an_edited_turn_is_run_with_its_new_words_and_titles_its_thread(engine: Engine) -> None:
    store = engine.store
    job = await store.submit(chat("old words", thread_id="t"))
    assert (await store.edit(job.id, "ada", "new words")).request.input == "new words"
    assert (await store.thread("t")).title == "new words"
    claimed = await claim(store)
    assert claimed is not None
    assert (claimed.request.input, claimed.attempt) == ("new words", 1)
    log = await store.read(job.id, 0, 10)
    assert types(log) == ["job.queued", "job.edited", "job.started"]
    assert is_gapless(log)
    with pytest.raises(JobConflict, match="has begun"):
        await store.edit(job.id, "ada", "too late")
    with pytest.raises(JobNotFound):
        await store.edit(job.id, "bob", "his")


async def test_the_key_of_an_edited_turn_still_names_it(engine: Engine) -> None:
    request = chat("old", thread_id="t", key="k")
    job = await engine.store.submit(request)
    await engine.store.edit(job.id, "ada", "new")
    assert (await engine.store.submit(request)).id == job.id
    with pytest.raises(KeyReused):
        await engine.store.submit(replace(request, files=("file_1",)))


async def test_a_renamed_thread_and_a_later_turn_leave_the_title_alone(engine: Engine) -> None:
    store = engine.store
    first = await store.submit(chat("first", thread_id="t"))
    second = await store.submit(chat("second", thread_id="t"))
    await store.edit(second.id, "ada", "another")
    assert (await store.thread("t")).title == "first"
    await store.rename_thread("t", "ada", "first · report.pdf")
    await store.edit(first.id, "ada", "1st")
    assert (await store.thread("t")).title == "1st · report.pdf"
    await store.rename_thread("t", "ada", "mine")
    await store.edit(first.id, "ada", "other")
    assert (await store.thread("t")).title == "mine"


async def test_a_turn_instead_of_nothing_is_like_any_other(engine: Engine) -> None:
    job = await engine.store.submit(chat(thread_id="t"), "instead")
    assert (job.turn, job.status) == (1, JobStatus.QUEUED)


async def test_a_job_behind_many_that_may_not_start_is_found(engine: Engine) -> None:
    turns = [await engine.store.submit(chat(str(n), thread_id="long")) for n in range(MAX_HEADS + 20)]
    other = await engine.store.submit(chat())
    claims = [await claim(engine.store, alive=("w1",), user_slots=5) for _ in range(3)]
    assert [one and one.id for one in claims] == [turns[0].id, other.id, None]


async def test_the_queue_tells_its_length_and_since_when_the_first_one_waits(engine: Engine) -> None:
    assert await engine.store.queue() == (0, None)
    first = await engine.store.submit(chat())
    engine.clock.now += 5
    await engine.store.submit(chat())
    queue = await engine.store.queue()
    assert (queue.jobs, queue.since) == (2, first.created_at)
    assert queue.seconds(engine.clock.now) == 5


async def test_two_claims_at_once_never_take_the_same_job(engine: Engine) -> None:
    jobs = [await engine.store.submit(chat(str(n))) for n in range(10)]
    claims = await asyncio.gather(*(claim(engine.store, f"w{n}", alive=("w",)) for n in range(10)))
    taken = [claim.id for claim in claims if claim is not None]
    # A worker that is not alive may lose its job to the next claim; nobody may hold the same epoch of the same job.
    assert len({(claim.id, claim.epoch) for claim in claims if claim}) == len(taken)
    assert set(taken) <= {job.id for job in jobs}


async def test_a_worker_takes_only_tasks_that_it_has(engine: Engine) -> None:
    await engine.store.submit(chat(task="unknown_tool"))
    assert await claim(engine.store, "w1") is None


async def test_turns_of_a_thread_run_one_at_a_time_in_their_order(engine: Engine) -> None:
    first = await engine.store.submit(chat("a", thread_id="t"))
    second = await engine.store.submit(chat("b", thread_id="t"))
    elsewhere = await engine.store.submit(chat("c", thread_id="other"))
    one, two, three = [await claim(engine.store, alive=("w1",)) for _ in range(3)]
    assert one is not None
    assert two is not None
    assert (one.id, two.id, three) == (first.id, elsewhere.id, None)
    await write(engine.store, first.id, DONE, epoch=one.epoch)
    four = await claim(engine.store, alive=("w1",))
    assert four is not None
    assert four.id == second.id


async def test_a_user_has_a_bounded_number_of_running_jobs_and_the_shared_user_has_not(engine: Engine) -> None:
    for n in range(3):
        await engine.store.submit(chat(str(n), user="bob"))
        await engine.store.submit(chat(str(n), user="local"))
    users = []
    while (claimed := await claim(engine.store, alive=("w1",), user_slots=2)) is not None:
        users.append(claimed.user)
    assert sorted(users) == ["bob", "bob", "local", "local", "local"]


async def test_a_waiting_job_knows_its_position(engine: Engine) -> None:
    first, second, third = [await engine.store.submit(chat(str(n), thread_id="t")) for n in range(3)]
    assert [await engine.store.position(job.id) for job in (first, second, third)] == [0, 1, 2]
    await claim(engine.store, "w1")
    assert [await engine.store.position(job.id) for job in (first, second, third)] == [None, 1, 2]


async def test_events_are_numbered_without_gaps_and_the_last_is_the_end(engine: Engine) -> None:
    job_id = await ended(engine, step("model:1"), text("model:1", "hi"), finished("model:1"), DONE)
    events = await engine.store.read(job_id, 0, 100)
    assert is_gapless(events)
    assert [event.type for event in events if event.terminal] == ["job.completed"]
    assert (await engine.store.get(job_id)).status is JobStatus.COMPLETED


async def test_nothing_is_written_behind_the_end(engine: Engine) -> None:
    job_id = await ended(engine, DONE)
    job = await engine.store.get(job_id)
    with pytest.raises(EpochStale):
        await write(engine.store, job_id, text("model:1", "late"), epoch=job.epoch)
    assert (await engine.store.get(job_id)).last_seq == job.last_seq


async def test_a_worker_that_lost_its_job_is_refused(engine: Engine) -> None:
    await engine.store.submit(chat())
    zombie = await claim(engine.store, "w1", alive=("w1",))
    taken = await claim(engine.store, "w2", alive=("w2",))
    assert zombie is not None
    assert taken is not None
    assert (taken.id, taken.epoch) == (zombie.id, zombie.epoch + 1)
    with pytest.raises(EpochStale):
        await write(engine.store, zombie.id, text("model:1", "second truth"), epoch=zombie.epoch)
    await write(engine.store, taken.id, DONE, epoch=taken.epoch)
    assert types(await engine.store.read(taken.id, 0, 10)) == [
        "job.queued",
        "job.started",
        "job.started",
        "job.completed",
    ]


async def test_a_refused_write_leaves_the_writes_beside_it_alone(engine: Engine) -> None:
    a, b = [await engine.store.submit(chat(name)) for name in "ab"]
    for _ in "ab":
        await claim(engine.store, "w1", alive=("w1",))
    good = [write(engine.store, a.id, text("m", str(n)), after=2 + n) for n in range(5)]
    bad = write(engine.store, b.id, text("m", "stale"), epoch=7, after=2)
    more = [write(engine.store, a.id, text("m", str(n)), after=7 + n) for n in range(5)]
    results = await asyncio.gather(*good, bad, *more, return_exceptions=True)
    assert isinstance(results[5], EpochStale)
    assert [result for result in results if isinstance(result, int)] == list(range(3, 13))


async def test_a_worker_never_takes_over_its_own_jobs(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    assert await engine.store.claim("w1", anything(running=(job.id,))) is None


async def test_a_job_whose_claim_was_committed_but_not_heard_of_is_claimed_again_by_the_same_worker(
    engine: Engine,
) -> None:
    job = await engine.store.submit(chat())
    for epoch in (1, 2):  # the first answer is lost
        again = await engine.store.claim("w1", anything(alive=("w1",)))
        assert again is not None
        assert (again.id, again.epoch) == (job.id, epoch)
    assert await claim(engine.store, "w1", alive=("w1",)) is None


async def test_events_that_are_sent_again_are_written_once(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    for _ in range(2):
        assert await write(engine.store, job.id, text("m", "a"), text("m", "b"), after=2) == 4
    assert await write(engine.store, job.id, DONE, after=4) == await write(engine.store, job.id, DONE, after=4) == 5
    assert types(await engine.store.read(job.id, 2, 10)) == ["text.delta", "text.delta", "job.completed"]


async def test_other_events_in_the_place_of_written_ones_are_refused(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    await write(engine.store, job.id, text("m", "a"), after=2)
    with pytest.raises(EpochStale):
        await write(engine.store, job.id, text("m", "b"), after=2)
    with pytest.raises(EpochStale):
        await write(engine.store, job.id, text("m", "a"), text("m", "b"), after=2)


async def test_a_holder_that_begins_anew_is_fenced_from_what_it_sent_before(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    renewed = await engine.store.renew(job.id, 1)
    assert (renewed.epoch, renewed.worker, renewed.last_seq) == (2, "w1", 3)
    with pytest.raises(EpochStale):
        await write(engine.store, job.id, text("m", "late"), after=2)
    with pytest.raises(EpochStale):
        await engine.store.renew(job.id, 1)


async def test_a_job_that_is_wished_to_stop_ends_when_its_holder_begins_anew(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    await engine.store.request_cancel(job.id, "ada")
    assert (await engine.store.renew(job.id, 1)).status is JobStatus.CANCELLED


async def test_nobody_cancels_another_users_job(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    with pytest.raises(JobNotFound):
        await engine.store.request_cancel(job.id, "eve")
    assert (await engine.store.get(job.id)).cancelled_by is None


async def test_a_message_leaves_the_inbox_with_the_event_that_it_becomes(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    for _ in range(2):
        await engine.store.request_cancel(job.id, "ada")
    [held] = await engine.store.held("w1")
    [message] = held.inbox
    with pytest.raises(LogBehind):
        await engine.store.append(job.id, 1, [CANCELLING.entry()], after=3, taken=[message.number])
    [held] = await engine.store.held("w1")
    assert held.inbox == (message,)
    await engine.store.append(job.id, 1, [CANCELLING.entry()], after=2, taken=[message.number])
    [held] = await engine.store.held("w1")
    assert held.inbox == ()


async def test_a_job_that_nobody_runs_is_cancelled_at_once(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    cancelled = await engine.store.request_cancel(job.id, "ada")
    assert cancelled.status is JobStatus.CANCELLED
    assert types(await engine.store.read(job.id, 0, 10)) == ["job.queued", "job.cancelling", "job.cancelled"]
    assert (await engine.store.request_cancel(job.id, "ada")).last_seq == cancelled.last_seq
    assert await claim(engine.store, "w1") is None


async def test_a_running_job_keeps_the_wish_to_stop_for_its_holder(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    wished = await engine.store.request_cancel(job.id, "ada")
    assert (wished.status, wished.cancelled_by) == (JobStatus.IN_PROGRESS, "ada")
    assert [message.data for held in await engine.store.held("w1") for message in held.inbox] == [{"by": "ada"}]


async def test_taking_over_a_job_that_is_wished_to_stop_ends_it_without_running(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    await engine.store.request_cancel(job.id, "ada")
    assert await claim(engine.store, "w2") is None
    assert (await engine.store.get(job.id)).status is JobStatus.CANCELLED


async def test_a_retry_reuses_finished_steps_and_keeps_the_turn(engine: Engine) -> None:
    failed = await ended(
        engine,
        step("model:1"),
        text("model:1", "kept"),
        finished("model:1", {"n": 1}),
        step("model:1/call:0", "tool"),
        Artifact(name="a.csv", mime="text/csv", size=3),
        step("model:1/call:0/part:0", "part"),
        finished("model:1/call:0/part:0", 7),
        FAILED,
        thread_id="t",
        key="k",
    )
    await engine.store.submit(chat("later", thread_id="t"))
    retry = await engine.store.retry(failed, "ada")
    assert (retry.retry_of, retry.root_id, retry.turn, retry.status) == (failed, failed, 1, JobStatus.QUEUED)
    events = await engine.store.read(retry.id, 0, 100)
    assert is_gapless(events)
    assert types(events)[1:] == [
        "step.started",
        "text.delta",
        "step.finished",
        "artifact",
        "step.started",
        "step.finished",
    ]
    assert (await engine.store.thread_jobs("t"))[0].id == retry.id
    claimed = await claim(engine.store, "w1")
    assert claimed is not None
    assert claimed.id == retry.id


async def test_only_the_last_attempt_of_a_step_is_copied_into_a_retry(engine: Engine) -> None:
    failed = await ended(
        engine,
        step("model:1"),
        text("model:1", "withdrawn"),
        step("model:1", attempt=2),
        text("model:1", "kept"),
        finished("model:1"),
        FAILED,
    )
    retry = await engine.store.retry(failed, "ada")
    words = [fields(event)["text"] for event in await engine.store.read(retry.id, 0, 100) if event.type == "text.delta"]
    assert words == ["kept"]


async def test_reasoning_that_a_later_attempt_did_not_repeat_is_not_copied_into_a_retry(engine: Engine) -> None:
    reasoning = ["model:1/reasoning", "model:1/reasoning:1"]
    thoughts = [
        StepStarted(step=one, name="reasoning", kind="reasoning", attempt=1, parent="model:1") for one in reasoning
    ]
    ends = [finished(one, {"text": one}) for one in reasoning]
    again = replace(thoughts[0], attempt=2)
    failed = await ended(
        engine,
        step("model:1"),
        *(event for pair in zip(thoughts, ends, strict=True) for event in pair),
        step("model:1", attempt=2),
        *(again, ends[0]),
        finished("model:1"),
        FAILED,
    )
    retry = await engine.store.retry(failed, "ada")
    paths = [fields(e)["step"] for e in await engine.store.read(retry.id, 0, 100) if e.type == "step.finished"]
    assert paths == ["model:1/reasoning", "model:1"]


async def test_a_retry_asks_again_for_an_answer_that_was_cut_off(engine: Engine) -> None:
    cut_off = await ended(
        engine,
        step("model:1"),
        finished("model:1", {"text": "tool, please"}),
        step("model:2"),
        text("model:2", "half an ans"),
        finished("model:2", {"finish_reason": "length"}),
        JobIncompleteEvent(reason="length", result={"text": "half an ans"}),
    )
    retry = await engine.store.retry(cut_off, "ada")
    paths = [fields(e)["step"] for e in await engine.store.read(retry.id, 0, 100) if e.type == "step.finished"]
    assert paths == ["model:1"]


async def test_of_a_step_inside_an_unfinished_one_a_retry_takes_the_checkpoint_alone(engine: Engine) -> None:
    part = StepStarted(step="model:1/call:0/part:0", name="part", kind="part", attempt=1, parent="model:1/call:0")
    failed = await ended(
        engine,
        step("model:1/call:0", "tool"),
        part,
        Log(step="model:1/call:0/part:0", level="info", message="said by a call that begins anew"),
        finished("model:1/call:0/part:0", 7),
        FAILED,
    )
    retry = await engine.store.retry(failed, "ada")
    assert types(await engine.store.read(retry.id, 0, 100)) == ["job.queued", "step.started", "step.finished"]


async def test_a_draft_waits_for_its_arguments_and_a_retry_with_them_takes_its_place(engine: Engine) -> None:
    request = JobRequest(task="report", user="ada", thread_id="t1", arguments={"rows": 1}, key="message")
    draft = await engine.store.draft(request)
    assert types(await engine.store.read(draft.id, 0, 10)) == ["job.queued", "job.incomplete"]
    assert draft.status is JobStatus.INCOMPLETE
    assert (await engine.store.draft(request)).last_seq == 2
    assert await claim(engine.store, "w1", tasks=("report",)) is None

    run = await engine.store.retry(draft.id, "ada", {"rows": 5})
    assert (run.turn, run.root_id, run.request.arguments) == (draft.turn, draft.id, {"rows": 5})
    assert (await engine.store.retry(draft.id, "ada", {"rows": 6})).id == run.id
    assert [job.id for job in await engine.store.thread_jobs("t1")] == [run.id]


async def test_a_retry_may_empty_the_arguments(engine: Engine) -> None:
    draft = await engine.store.draft(JobRequest(task="report", user="ada", arguments={"rows": 1}))
    assert (await engine.store.retry(draft.id, "ada", {})).request.arguments == {}


async def test_files_that_came_with_the_arguments_belong_to_the_retry(engine: Engine) -> None:
    draft = await engine.store.draft(JobRequest(task="report", user="ada", files=("a",)))
    run = await engine.store.retry(draft.id, "ada", {"tables": ["a", "b"]}, files=("a", "b"))
    assert run.request.files == ("a", "b")


async def test_a_shared_rate_spreads_what_it_lets_through(engine: Engine) -> None:
    waits = [await engine.store.reserve("model", 1, per_minute=30) for _ in range(3)]
    assert waits == [0, 2, 4]
    assert await engine.store.reserve("another", 1, per_minute=30) == 0
    await engine.store.reserve("model", -1, per_minute=30)
    assert await engine.store.reserve("model", 1, per_minute=30) == 4
    engine.clock.now += 3600
    assert await engine.store.reserve("model", 1, per_minute=30) == 0


async def test_the_tools_are_those_of_the_workers_and_the_last_known_without_one(engine: Engine) -> None:
    def worker(id: str, *names: str) -> WorkerRecord:
        catalogue = tuple({"name": name, "description": id} for name in names)
        return WorkerRecord(id=id, beat=0, stopped=False, tasks=names, catalogue=catalogue)

    assert await engine.store.tools() == []
    await engine.store.register_worker(worker("w1", "read", "sum"))
    await engine.store.register_worker(worker("w2", "sum", "chart"))
    assert [tool["name"] for tool in await engine.store.tools()] == ["chart", "read", "sum"]
    await engine.store.remove_worker("w1")
    assert [tool["name"] for tool in await engine.store.tools()] == ["chart", "sum"]
    await engine.store.remove_worker("w2")
    await engine.store.register_worker(worker("w3"))
    assert [tool["name"] for tool in await engine.store.tools()] == ["chart", "sum"]


async def test_followers_of_the_tools_hear_of_a_new_worker(engine: Engine) -> None:
    async with contextlib.aclosing(engine.client.follow_tools()) as following:
        assert await anext(following) == []
        tool = {"name": "sum"}
        await engine.store.register_worker(
            WorkerRecord(id="w1", beat=0, stopped=False, tasks=("sum",), catalogue=(tool,))
        )
        assert await anext(following) == [tool]


async def test_a_thread_that_is_being_deleted_takes_no_retry(engine: Engine) -> None:
    failed = await ended(engine, FAILED, thread_id="t")
    await engine.store.delete_thread("t", "ada")
    with pytest.raises(ThreadNotFound):
        await engine.store.retry(failed, "ada")


async def test_numbers_of_any_size_come_back_as_they_went_in(engine: Engine) -> None:
    numbers = {"big": 2**70, "huge": 10**400, "small": -(2**63), "float": 1e300}
    job_id = await ended(engine, step("model:1"), finished("model:1", numbers), DONE)
    assert [fields(e)["output"] for e in await engine.store.read(job_id, 0, 9) if e.type == "step.finished"] == [
        numbers
    ]


async def test_a_second_retry_gives_the_live_one_and_a_completed_job_has_none(engine: Engine) -> None:
    failed = await ended(engine, FAILED)
    retry = await engine.store.retry(failed, "ada")
    assert (await engine.store.retry(failed, "ada")).id == retry.id
    with pytest.raises(JobConflict):
        await engine.store.retry(retry.id, "ada")
    claimed = await claim(engine.store, "w1")
    assert claimed is not None
    await write(engine.store, retry.id, DONE, epoch=claimed.epoch)
    with pytest.raises(JobConflict):
        await engine.store.retry(retry.id, "ada")


async def test_milestones_leave_the_text_out(engine: Engine) -> None:
    job_id = await ended(engine, step("model:1"), *[text("model:1", "x")] * 50, finished("model:1"), DONE)
    assert types(await engine.store.milestones(job_id)) == [
        "job.queued",
        "job.started",
        "step.started",
        "step.finished",
        "job.completed",
    ]


async def test_the_search_finds_titles_questions_and_answers_and_takes_signs_as_they_are(engine: Engine) -> None:
    await ended(engine, step("model:1"), text("model:1", "the ans"), text("model:1", "wer is 50%"), DONE, thread_id="a")
    await engine.store.submit(chat("a question on tides", thread_id="b"))
    await engine.store.settle()

    async def found(search: str) -> list[str]:
        return [thread.id for thread in await engine.store.threads("ada", search=search, limit=9, before=None)]

    assert await found("answer is 50%") == ["a"]
    assert await found("tides") == ["b"]
    assert await found("5%%") == []
    assert await found("_nswer") == []


async def test_what_a_stopped_job_had_answered_is_found(engine: Engine) -> None:
    """Whoever ends it is not the one that wrote it."""
    job = await engine.store.submit(chat(thread_id="t"))
    await claim(engine.store, "w1")
    await write(engine.store, job.id, step("model:1"), text("model:1", "half an answer"))
    await engine.store.request_cancel(job.id, "ada")
    assert await claim(engine.store, "w2") is None
    [found] = await engine.store.threads("ada", search="half an answer", limit=9, before=None)
    assert found.id == "t"


async def test_threads_are_paged_newest_first(engine: Engine) -> None:
    for n in range(5):
        engine.clock.now += 1
        await engine.store.submit(chat(thread_id=f"t{n}"))
    engine.clock.now += 1
    await engine.store.submit(chat(thread_id="t0"))
    page = await engine.store.threads("ada", search=None, limit=3, before=None)
    rest = await engine.store.threads("ada", search=None, limit=3, before=page[-1].cursor)
    assert [thread.id for thread in page + rest] == ["t0", "t4", "t3", "t2", "t1"]
    assert await engine.store.threads("bob", search=None, limit=3, before=None) == []


async def test_jobs_are_listed_by_what_is_asked(engine: Engine) -> None:
    done = await ended(engine, DONE, thread_id="t")
    waiting = [(await engine.store.submit(chat(str(n)))).id for n in range(3)]

    async def listed(**fields: object) -> list[str]:
        return [job.id for job in await engine.store.jobs(JobFilter(user="ada", **fields))]  # type: ignore[arg-type]

    assert await listed() == [*reversed(waiting), done]
    assert await listed(status=JobStatus.COMPLETED) == [done]
    assert await listed(thread_id="t") == [done]
    assert await listed(limit=2, before=waiting[2]) == [waiting[1], waiting[0]]


async def test_a_deleted_thread_is_hidden_at_once_and_cleared_when_its_jobs_have_ended(engine: Engine) -> None:
    running = await engine.store.submit(chat("a", thread_id="t"))
    waiting = await engine.store.submit(chat("b", thread_id="t"))
    claimed = await claim(engine.store, "w1")
    assert claimed is not None
    await engine.store.delete_thread("t", "ada")
    with pytest.raises(ThreadNotFound):
        await engine.store.thread("t")
    with pytest.raises(ThreadNotFound):
        await engine.store.submit(chat("c", thread_id="t"))
    assert (await engine.store.get(waiting.id)).status is JobStatus.CANCELLED
    assert await engine.store.deleted_threads() == []
    await write(engine.store, running.id, DONE, epoch=claimed.epoch)
    assert [thread.id for thread in await engine.store.deleted_threads()] == ["t"]
    await engine.store.purge_thread("t")
    with pytest.raises(JobNotFound):
        await engine.store.get(running.id)
    assert await engine.store.read(running.id, 0, 10) == []


async def test_what_tools_keep_belongs_to_the_thread_in_the_order_of_the_first_puts(engine: Engine) -> None:
    store = engine.store
    first = await begun(store, thread_id="t")
    await store.put_record(first, "b", "old")
    await store.put_record(first, "a", [1.5, None])
    before = dict(await store.records(first, ""))
    await store.put_record(first, "b", "new")
    await write(store, first.id, DONE, epoch=first.epoch)
    second = await begun(store, thread_id="t")
    assert [key for key, _ in await store.records(second, "")] == ["b", "a"]
    after = dict(await store.records(second, ""))
    assert (after["a"] == before["a"], after["b"] == before["b"]) == (True, False)
    assert [await store.record(second, key) for key in ("a", "b", "c")] == [[1.5, None], "new", None]
    assert await store.records(second, "a") == [("a", after["a"])]
    await store.delete_record(second, "a")
    assert await store.record(second, "a") is None
    other = await begun(store, user="bob", thread_id="u")
    assert (await store.records(other, ""), await store.record(other, "b")) == ([], None)


async def test_every_json_value_that_a_tool_keeps_reads_back_equal(engine: Engine) -> None:
    job = await begun(engine.store)
    value = {"odd": "nul \0, half \ud800, ü", "large": 2**70, "list": [1.5, True, None, {}]}
    await engine.store.put_record(job, "k", value)
    assert await engine.store.record(job, "k") == value


async def test_a_worker_that_lost_its_job_keeps_nothing_and_deletes_nothing(engine: Engine) -> None:
    store = engine.store
    zombie = await begun(store, thread_id="t")
    await store.put_record(zombie, "k", "old")
    taken = await claim(store, "w2", alive=("w2",))
    assert taken is not None
    await store.put_record(taken, "k", "new")
    for late in (store.put_record(zombie, "k", "late"), store.delete_record(zombie, "k")):
        with pytest.raises(EpochStale):
            await late
    assert await store.record(taken, "k") == "new"


async def test_what_tools_keep_is_deleted_with_the_thread_or_the_last_of_the_retries(engine: Engine) -> None:
    store = engine.store
    in_thread, alone = await begun(store, thread_id="t"), await begun(store)
    for job in (in_thread, alone):
        await store.put_record(job, "k", 1)
        await write(store, job.id, FAILED, epoch=job.epoch)
    retry = await store.retry(alone.id, "ada")
    await store.delete_job(alone.id, "ada")
    assert await store.record(retry, "k") == 1
    await store.delete_job(retry.id, "ada")
    assert await store.record(retry, "k") is None
    await store.delete_thread("t", "ada")
    assert await store.record(in_thread, "k") == 1
    await store.purge_thread("t")
    assert await store.record(in_thread, "k") is None


async def test_a_takeover_leaves_the_folder_and_only_the_new_holder_moves_on(engine: Engine) -> None:
    store = engine.store
    zombie = await begun(store, thread_id="t")
    assert await store.folder(zombie) == Folder(name="", left=False)
    taken = await claim(store, "w2", alive=("w2",))
    assert taken is not None
    assert await store.folder(taken) == Folder(name="", left=True)
    for late in (store.folder(zombie), store.move_folder(zombie, "late")):
        with pytest.raises(EpochStale):
            await late
    await store.move_folder(taken, "copy")
    assert await store.folder(taken) == Folder(name="copy", left=False)
    assert await store.folder(await store.renew(taken.id, taken.epoch)) == Folder(name="copy", left=True)
    assert await store.records(taken, "") == []


async def test_a_cancelled_job_that_is_taken_over_to_end_it_leaves_the_folder_to_the_next_turn(engine: Engine) -> None:
    store = engine.store
    zombie = await begun(store, thread_id="t")
    await store.request_cancel(zombie.id, "ada")
    assert await claim(store, "w2", alive=("w2",)) is None
    assert (await store.folder(await begun(store, thread_id="t"))).left
    assert not (await store.folder(await begun(store, thread_id="another"))).left


async def test_where_the_folder_is_is_forgotten_with_the_thread(engine: Engine) -> None:
    store = engine.store
    job = await begun(store, thread_id="t")
    await store.move_folder(job, "copy")
    await write(store, job.id, DONE, epoch=job.epoch)
    await store.delete_thread("t", "ada")
    await store.purge_thread("t")
    assert await store.folder(await begun(store, thread_id="t")) == Folder(name="", left=False)


async def test_what_a_tool_may_keep_is_limited(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store = engine.store
    job = await begun(store, thread_id="t")
    for key in ("", "k" * 201, "nul\0", "half\ud800"):
        with pytest.raises(RecordRefused, match="printable"):
            await store.put_record(job, key, 1)
    with pytest.raises(RecordRefused, match=r"has 1\.1 MB, and the limit is 1 MB"):
        await store.put_record(job, "k", "x" * 1_100_000)
    monkeypatch.setattr("jobs.sql.records.MAX_SCOPE_BYTES", 1_000_000)
    await store.put_record(job, "large", "x" * 900_000)
    await store.put_record(job, "large", "y" * 900_000)
    with pytest.raises(RecordRefused, match="exceed the limit of 1 MB"):
        await store.put_record(job, "more", "x" * 200_000)
    await store.delete_record(job, "large")
    monkeypatch.setattr("jobs.sql.records.MAX_RECORDS", 2)
    await store.put_record(job, "a", 1)
    await store.put_record(job, "b", 1)
    with pytest.raises(RecordRefused, match="keeps 2 records already"):
        await store.put_record(job, "c", 1)
    await store.put_record(job, "b", 2)
    assert await store.record(job, "b") == 2


@pytest.mark.parametrize(
    "thread_id", ["job_" + "a" * 24, "file_" + "a" * 24, "job_", "two\nlines", '["ada", "t"]', "x" * 201]
)
async def test_ids_of_other_things_begin_no_thread(engine: Engine, thread_id: str) -> None:
    for begin in (engine.store.submit, engine.store.draft):
        with pytest.raises(ThreadNotFound):
            await begin(chat(thread_id=thread_id))
    with pytest.raises(ThreadNotFound):
        await engine.store.thread(thread_id)


async def test_a_file_is_unused_when_no_job_of_its_owner_came_with_it(engine: Engine) -> None:
    alone = await engine.store.submit(chat(files=("file_1", "file_2")))
    await engine.store.submit(chat(files=("file_2", "file_3"), thread_id="t"))
    await engine.store.submit(chat(files=("file_3",), thread_id="u"))
    await engine.store.submit(chat(files=("file_4",), user="bob"))
    files = ["file_1", "file_2", "file_3", "file_4", "file_5"]

    async def unused(without_thread: str | None = None) -> list[str]:
        return await engine.store.unused_files("ada", files, without_thread=without_thread)

    assert await unused() == ["file_4", "file_5"]
    assert await unused("t") == ["file_4", "file_5"]
    await engine.store.request_cancel(alone.id, "ada")
    await engine.store.delete_job(alone.id, "ada")
    assert await unused() == ["file_1", "file_4", "file_5"]
    assert await unused("t") == ["file_1", "file_2", "file_4", "file_5"]
    assert await engine.store.unused_files("ada", []) == []


async def test_a_running_job_is_not_deleted(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    with pytest.raises(JobConflict):
        await engine.store.delete_job(job.id, "ada")
    await write(engine.store, job.id, JobCancelled(stopped=[]))
    await engine.store.delete_job(job.id, "ada")
    with pytest.raises(JobNotFound):
        await engine.store.get(job.id)


async def test_a_worker_is_declared_stopped_only_while_its_counter_stands(engine: Engine) -> None:
    await engine.store.register_worker(WorkerRecord(id="w1", beat=0, stopped=False, tasks=("chat",), catalogue=()))
    engine.store.beat("w1")
    assert not await engine.store.declare_stopped("w1", 0)
    assert await engine.store.declare_stopped("w1", 1)
    assert not await engine.store.declare_stopped("w1", 1), "it was said before"
    assert [worker.stopped for worker in await engine.store.workers()] == [True]
    engine.store.beat("w1")
    await engine.store.ping()
    assert not await engine.store.declare_stopped("w1", 1)  # in the order of the writes: the beat is in
    assert [worker.stopped for worker in await engine.store.workers()] == [False]


async def test_half_characters_and_zero_bytes_survive_the_store(engine: Engine) -> None:
    words = "a\x00b\ud800c — ✓"
    job_id = await ended(engine, step("model:1"), text("model:1", words), DONE)
    assert [fields(e)["text"] for e in await engine.store.read(job_id, 0, 100) if e.type == "text.delta"] == [words]


async def test_two_processes_share_one_log(open_engine: OpenEngine) -> None:
    async with open_engine() as web, open_engine() as worker:
        job = await web.store.submit(chat())
        claimed = await claim(worker.store, "w1")
        assert claimed is not None
        await asyncio.gather(
            *(write(worker.store, job.id, text("m", str(n)), after=claimed.last_seq + n) for n in range(50)),
            *(web.store.submit(chat(str(n))) for n in range(50)),
        )
        await write(worker.store, job.id, DONE)
        assert is_gapless(await web.store.read(job.id, 0, 100))


async def test_jobs_are_counted_by_task_and_status(engine: Engine) -> None:
    assert await engine.store.counts() == {}
    await ended(engine, DONE)
    await ended(engine, FAILED)
    await engine.store.submit(chat())
    await engine.store.submit(chat(task="add"))
    await engine.store.submit(chat(task="add", user="bob"))
    assert await engine.store.counts() == {
        ("chat", JobStatus.COMPLETED): 1,
        ("chat", JobStatus.FAILED): 1,
        ("chat", JobStatus.QUEUED): 1,
        ("add", JobStatus.QUEUED): 2,
    }


async def test_ended_jobs_come_in_the_order_of_their_ends_in_pages(engine: Engine) -> None:
    first = await engine.store.submit(chat())
    second = await engine.store.submit(chat())
    for _ in range(2):
        await claim(engine.store, "w1", alive=("w1",))
    engine.clock.now += 1
    await write(engine.store, second.id, DONE)
    engine.clock.now += 1
    await write(engine.store, first.id, FAILED)
    [page] = await engine.store.ended((0, ""), limit=1)
    [next_page] = await engine.store.ended(page.cursor, limit=9)
    assert (page.id, page.status) == (second.id, JobStatus.COMPLETED)
    assert (next_page.id, next_page.status) == (first.id, JobStatus.FAILED)
    assert await engine.store.ended(next_page.cursor, limit=9) == []


async def test_an_ended_job_tells_its_times_and_its_tokens(engine: Engine) -> None:
    begun = engine.clock.now
    job = await engine.store.submit(chat())
    engine.clock.now = begun + 1
    await claim(engine.store, "w1")
    for at in (2, 3):
        engine.clock.now = begun + at
        await write(engine.store, job.id, step("model:1"), text("model:1", "words"))
    engine.clock.now = begun + 4
    usage = {"input_tokens": 3, "output_tokens": 5}
    await write(engine.store, job.id, JobCompleted(result="long", usage=usage))
    [one] = await engine.store.ended((begun, ""), limit=9)
    assert (one.created_at, one.started_at, one.first_text_at, one.finished_at) == (
        begun,
        begun + 1,
        begun + 2,
        begun + 4,
    )
    assert (one.usage, one.cancelling_at, one.task) == (usage, None, "chat")


async def test_a_cancelled_job_tells_when_its_stop_began(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    await engine.store.request_cancel(job.id, "ada")
    obeyed = engine.clock.now = engine.clock.now + 1
    await write(engine.store, job.id, JobCancelling(by="ada"))
    engine.clock.now += 1
    await write(engine.store, job.id, JobCancelled(stopped=[]))
    [one] = await engine.store.ended((0, ""), limit=9)
    assert (one.cancelling_at, one.first_text_at, one.usage) == (obeyed, None, None)


async def test_a_retry_speaks_for_the_first_time_when_it_speaks_itself(engine: Engine) -> None:
    job_id = await ended(engine, step("model:1"), text("model:1", "words"), finished("model:1"), FAILED)
    retry = await engine.store.retry(job_id, "ada")
    claimed = await claim(engine.store, "w1")
    assert claimed is not None
    await write(engine.store, retry.id, DONE, epoch=claimed.epoch)
    spoken = {one.id: one.first_text_at for one in await engine.store.ended((0, ""), limit=9)}
    assert spoken[job_id] is not None
    assert spoken[retry.id] is None


def nested(levels: int) -> JSON:
    value: JSON = []
    for _ in range(levels):
        value = [value]
    return value


async def test_what_is_refused_in_a_batch_has_written_nothing(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    results = await asyncio.gather(
        write(engine.store, job.id, text("m", "a"), after=2),
        write(engine.store, job.id, text("m", "b"), JobCompleted(result=object(), usage=None), after=3),  # not JSON
        write(engine.store, job.id, JobCompleted(result=nested(10_000), usage=None), after=3),
        write(engine.store, "job_nowhere", text("m", "x"), after=3),
        write(engine.store, job.id, text("m", "behind a hole"), after=4),
        write(engine.store, job.id, text("m", "c"), JobCompleted(result={}, usage=None), after=3),
        write(engine.store, job.id, text("m", "behind the end"), after=5),
        return_exceptions=True,
    )
    refusals = [type(result) for result in results]
    assert refusals == [int, TypeError, RecursionError, JobNotFound, LogBehind, int, EpochStale]
    assert types(await engine.store.read(job.id, 2, 10)) == ["text.delta", "text.delta", "job.completed"]
    assert (await engine.store.get(job.id)).last_seq == 5


async def test_what_is_written_after_an_append_comes_behind_it(engine: Engine) -> None:
    job = await engine.store.submit(chat())
    await claim(engine.store, "w1")
    ended = engine.store.append(job.id, 1, [DONE.entry()], after=2)
    assert (await engine.store.request_cancel(job.id, "ada")).status is JobStatus.COMPLETED
    assert await ended == 3


async def test_a_thread_that_begins_with_files_is_named_after_them_too(engine: Engine) -> None:
    client = engine.client
    first = await client.submit(chat("Summarise this", thread_id="t"))
    await client.name_after_files(first, ["plan.pdf", "notes.md"])
    assert (await client.thread("t")).title == "Summarise this · plan.pdf and 1 more"
    await client.name_after_files(await client.submit(chat("And this", thread_id="t")), ["late.pdf"])
    renamed = await client.submit(chat("Summarise this", thread_id="u"))
    await client.rename_thread("u", "ada", "Mine")
    await client.name_after_files(renamed, ["plan.pdf"])
    await client.name_after_files(await client.submit(chat("Summarise this")), ["plan.pdf"])
    assert [thread.title for thread in await client.threads("ada")] == ["Mine", "Summarise this · plan.pdf and 1 more"]


async def test_searches_and_long_reads_hold_up_no_follower(engine: Engine) -> None:
    """Many at once, so that they take long together on a machine of any speed."""
    job = await begun(engine.store, thread_id="thread_one", text="word " * 100_000)
    await write(engine.store, job.id, *[Log(step=None, level="info", message="x" * 5_000)] * 200)

    async def search() -> None:
        assert not await engine.store.threads("ada", search="nowhere", limit=20, before=None)

    async def open_page() -> None:
        assert await engine.store.milestones(job.id)

    searches = [asyncio.create_task(search()) for _ in range(60)]
    openings = [asyncio.create_task(open_page()) for _ in range(60)]
    await asyncio.sleep(0)  # all of them wait by now
    assert await engine.store.read_many({job.id: 0}, 1)
    assert await engine.store.last_seqs([job.id])
    still = [sum(not task.done() for task in tasks) for tasks in (searches, openings)]
    assert all(count > 10 for count in still), "the follower waited for them"
    await cancel_and_wait(*searches, *openings)
