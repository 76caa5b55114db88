"""What a store tells its listeners: each change of a job, once, to the process that made it."""

from __future__ import annotations

from typing import Any

import pytest

from jobs import JobRequest, StoreUnavailable
from jobs.events import JobCompleted, JobFailedEvent, JobIncompleteEvent, Payload
from jobs.postgres import database as postgres
from jobs.sql.groups import Request
from jobs.sqlite.database import SqliteDatabase
from jobs.transitions import Change, Transition
from tests.jobs.engine import Engine, OpenEngine, chat, claim, write

DONE = JobCompleted(result="hi", usage=None)
FAILED = JobFailedEvent(error={"code": "model_unreachable", "message": "Try again."})


def heard(engine: Engine) -> list[tuple[Change, str]]:
    """A list that grows with what the engine's store tells."""
    told: list[tuple[Change, str]] = []
    engine.transitions.listen(lambda one: told.append((one.change, one.job.id)))
    return told


async def test_every_listener_hears_of_each_change_once(engine: Engine) -> None:
    first, second = heard(engine), heard(engine)
    job = await engine.client.submit(chat(key="k"))
    assert await engine.client.submit(chat(key="k")) == job
    await claim(engine.store)
    for _ in range(2):
        await engine.client.cancel(job.id, "ada")
    await write(engine.store, job.id, FAILED)
    retry = await engine.client.retry(job.id, "ada")
    assert await engine.client.retry(job.id, "ada") == retry
    mine = [Change.SUBMITTED, Change.CLAIMED, Change.CANCEL_REQUESTED, Change.ENDED]
    assert first == second == [*((change, job.id) for change in mine), (Change.RETRIED, retry.id)]


async def test_a_job_that_nobody_began_ends_with_the_wish_to_stop_it(engine: Engine) -> None:
    alone, in_thread = await engine.client.submit(chat()), await engine.client.submit(chat(thread_id="t"))
    told = heard(engine)
    await engine.client.cancel(alone.id, "ada")
    await engine.client.delete_thread("t", "ada")
    both = [Change.CANCEL_REQUESTED, Change.ENDED]
    assert told == [(change, job.id) for job in (alone, in_thread) for change in both]


async def test_a_job_that_another_worker_had_begun_is_taken_over_and_a_cancelled_one_ended(engine: Engine) -> None:
    lost, cancelled = await engine.client.submit(chat()), await engine.client.submit(chat())
    await claim(engine.store, "dead")
    await claim(engine.store, "dead")
    await engine.client.cancel(cancelled.id, "ada")
    told = heard(engine)
    await claim(engine.store)
    assert await claim(engine.store) is None
    assert told == [(Change.TAKEN_OVER, lost.id), (Change.ENDED, cancelled.id)]


async def test_a_job_that_its_holder_begins_anew_was_not_taken_over(engine: Engine) -> None:
    job = await engine.client.submit(chat())
    await claim(engine.store)
    told = heard(engine)
    await engine.store.renew(job.id, 1)
    assert told == [(Change.BEGUN_AGAIN, job.id)]


async def test_a_form_that_waits_to_be_filled_in_has_not_ended(engine: Engine) -> None:
    told = heard(engine)
    draft = await engine.client.draft(JobRequest(task="add", user="ada", key="k"))
    await engine.client.draft(JobRequest(task="add", user="ada", key="k"))
    assert told == [(Change.DRAFTED, draft.id)]


@pytest.mark.parametrize(
    ("ending", "reason"),
    [(DONE, None), (FAILED, "model_unreachable"), (JobIncompleteEvent(reason="budget", result=None), "budget")],
)
async def test_an_end_is_told_with_its_reason(engine: Engine, ending: Payload, reason: str | None) -> None:
    told: list[Transition] = []
    job = await engine.client.submit(chat())
    await claim(engine.store)
    engine.transitions.listen(told.append)
    await write(engine.store, job.id, ending)
    assert [(one.job, one.reason) for one in told] == [(await engine.store.get(job.id), reason)]


async def test_only_the_process_that_made_a_change_hears_of_it(engine: Engine, open_engine: OpenEngine) -> None:
    async with open_engine() as other:
        mine, theirs = heard(engine), heard(other)
        job = await engine.client.submit(chat())
        await claim(other.store)
    assert (mine, theirs) == ([(Change.SUBMITTED, job.id)], [(Change.CLAIMED, job.id)])


async def test_who_listens_no_more_hears_nothing(engine: Engine) -> None:
    told: list[Any] = []
    unsubscribe = engine.transitions.listen(told.append)
    unsubscribe()
    await engine.client.submit(chat())
    assert told == []


async def test_what_was_not_committed_is_not_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    told = heard(engine)
    monkeypatch.setattr(SqliteDatabase, "_run_group", failing_commit)
    monkeypatch.setattr(postgres.Writer, "_run_group", interrupted_commit)
    with pytest.raises(StoreUnavailable):
        await engine.client.submit(chat())
    monkeypatch.undo()
    job = await engine.client.submit(chat())
    assert told == [(Change.SUBMITTED, job.id)]


run_group = SqliteDatabase._run_group


def failing_commit(self: SqliteDatabase, group: Any) -> Any:
    """The transactions run, and their commit fails, as on a full disk."""
    self._connection.execute("PRAGMA max_page_count = 1")
    try:
        return run_group(self, [*group, Request(fill_the_disk, None)])
    finally:
        self._connection.execute("PRAGMA max_page_count = 1000000")


run_on_postgres = postgres.Writer._run_group


def interrupted_commit(self: postgres.Writer, transactions: Any) -> Any:
    """The transactions run, and their last one fails, as with a lost connection."""
    return run_on_postgres(self, [*transactions, lambda connection: connection.execute("SELECT 1 / 0")])


def fill_the_disk(connection: Any) -> None:
    connection.execute("CREATE TABLE too_much (words TEXT)")
    connection.execute("INSERT INTO too_much VALUES (zeroblob(1000000))")
