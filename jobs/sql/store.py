"""`JobStore` in SQL, on each `Database`. Each method is one transaction."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from jobs import rules
from jobs.encoding import to_stored
from jobs.errors import EpochStale, JobConflict, ThreadNotFound
from jobs.estimates import Range, Run
from jobs.events import Entry, JobEvent, JobIncompleteEvent, decode
from jobs.models import (
    JSON,
    NEEDS_ARGUMENTS,
    RETRYABLE,
    TRY_NOW,
    Folder,
    HeldJob,
    Job,
    JobRequest,
    JobStatus,
    Limits,
    Overlap,
    Queue,
    Removal,
    Thread,
    Upload,
    WorkerRecord,
)
from jobs.rules import Eligibility, JobHead
from jobs.sql import folders, inbox, log, offers, rates, records, removals, rows, runs, threads, uploads
from jobs.sql.appends import Append, Appended, append, append_all, keep_answer
from jobs.sql.connection import Connection, Database, Lane, Transaction
from jobs.sql.log import EntryAt, WorkDone
from jobs.store import EndedJob, JobFilter
from jobs.transcript import Transcript
from jobs.transitions import Change, Transition, Transitions, reason_of
from jobs.wake import Wake, job_topic, thread_topic

T = TypeVar("T")

AHEAD_SECONDS = 3600.0
"""A job that ended later than this from now did so before the clock was set back: it is no news."""
PROBE_SECONDS = 0.5
"""A database that takes longer for an empty transaction is busy. Who asks may wait for no more than a second."""


class Changes(threading.local):
    """The changes of the transactions since the last commit on this thread of the database."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.made: list[Transition] = []


class SqlStore:
    """`async with SqlStore(database, wake) as store`: opens the database, updates its tables, closes it."""

    def __init__(
        self,
        database: Database,
        wake: Wake,
        *,
        clock: Callable[[], float] = time.time,
        transitions: Transitions | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`transitions` receives, on a thread of the database, the changes that calls of this object make.

        `limits`: of each user; None: no limits.
        """
        self._database = database
        self._wake = wake
        self._transitions = transitions or Transitions()
        self._clock = clock
        self._limits = limits or Limits()
        self._changes = Changes()
        self._probe: asyncio.Future[None] | None = None
        self._appends: list[tuple[Append, asyncio.Future[int]]] = []  # not handed to the database yet

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._database.open, self._tell)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write_appends()
        await asyncio.to_thread(self._database.close)

    # --- jobs -------------------------------------------------------------------------------------------------

    async def submit(self, request: JobRequest, overlap: Overlap = "next") -> Job:
        return await self._write(lambda connection: self._submit(connection, request, Change.SUBMITTED, overlap))

    async def draft(self, request: JobRequest) -> Job:
        def transaction(connection: Connection) -> Job:
            job = self._submit(connection, request, Change.DRAFTED)
            if job.last_seq == 1:  # else an earlier request with this key made it
                draft = JobIncompleteEvent(reason=NEEDS_ARGUMENTS, result=None)
                append(connection, job.id, [draft], self._clock(), epoch=job.epoch, after=job.last_seq, answer="")
            return log.find(connection, job.id)

        return await self._write(transaction)

    def _submit(self, connection: Connection, request: JobRequest, change: Change, overlap: Overlap = "next") -> Job:
        known = log.find_by_key(connection, request)
        if known is not None:
            return known
        if change is Change.SUBMITTED:
            log.check_room(connection, request.user, self._limits.queued_jobs)
        turn = threads.next_turn(connection, request, self._clock()) if request.thread_id else 0
        if request.thread_id and overlap == "instead":
            self._stop_running(connection, request.thread_id, request.user)
            turn = threads.before_waiting(connection, request.thread_id, turn)
        job_id = new_id()
        job = log.insert_job(connection, job_id, request, turn=turn, root_id=job_id, retry_of=None, at=self._clock())
        self._announce(job_id, request.thread_id)
        return self._note(change, job)

    def _stop_running(self, connection: Connection, thread_id: str, user: str) -> None:
        sql = "SELECT id FROM jobs WHERE thread_id = ? AND status = 'in_progress' ORDER BY id"
        running = [row[0] for row in connection.execute(sql, [thread_id]).fetchall()]
        self._changes.topics.update({"cancel", *map(job_topic, running)})
        for job_id in running:
            self._wish_to_stop(connection, log.find_to_change(connection, job_id), user)

    async def retry(
        self, job_id: str, user: str, arguments: Mapping[str, JSON] | None = None, files: Sequence[str] = ()
    ) -> Job:
        while True:
            # The log of an ended job never changes: a long one is read outside of the write, so as not to delay others.
            failed, reused = await self._read(lambda connection: self._reused(connection, job_id, user), "long")
            if (retry := await self._write(partial(self._retry, job_id, failed, reused, arguments, files))) is not None:
                return retry

    def _reused(self, connection: Connection, job_id: str, user: str) -> tuple[Job, list[EntryAt]]:
        """Returns the newest job of the chain and the events that a retry of it begins with."""
        newest = log.newest_of_chain(connection, log.find(connection, job_id, user).root_id)
        return newest, log.reused_events(connection, newest) if newest.status in RETRYABLE else []

    def _retry(
        self,
        job_id: str,
        failed: Job,
        reused: Sequence[EntryAt],
        arguments: Mapping[str, JSON] | None,
        files: Sequence[str],
        connection: Connection,
    ) -> Job | None:
        """Returns None when the chain has changed since it was read."""
        newest = log.newest_of_chain(connection, failed.root_id)
        if newest.thread_id is not None:
            threads.find(connection, newest.thread_id, newest.user)  # raises when the thread is being deleted
        if newest.id != job_id and not newest.ended:
            return newest
        if (newest.id, newest.status) != (failed.id, failed.status):
            return None
        rules.check_retryable(newest)
        log.check_room(connection, newest.user, self._limits.queued_jobs)
        new, request = new_id(), rules.retry_request(newest.request, arguments, files)
        log.insert_retry(connection, new, newest, request, reused, self._clock())
        self._announce(new, newest.thread_id)
        return self._note(Change.RETRIED, log.find(connection, new))

    async def claim(self, worker: str, eligibility: Eligibility) -> Job | None:
        done: dict[str, WorkDone] = {}
        ended: list[str] = []

        def transaction(connection: Connection) -> Job | str | None:
            ended.clear()
            while (job_id := log.find_eligible(connection, worker, eligibility)) is not None:
                job = log.find_to_change(connection, job_id)
                if job.ended:
                    continue  # a worker that was taken for dead has just ended it
                if job.epoch and job_id not in done:
                    return job_id
                claimed = self._take(connection, job, worker, Change.CLAIMED, done.get(job_id))
                if not claimed.ended:
                    return claimed
                ended.append(job_id)
            return None

        while True:
            claimed = await self._write(transaction)
            for job_id in ended:
                await self._settle(job_id)
            if not isinstance(claimed, str):
                return claimed
            done[claimed] = await self._work_done(claimed)

    async def _work_done(self, job_id: str) -> WorkDone:
        """Reads the log, which may be long, outside of the write."""
        return await self._read(lambda connection: log.work_done(connection, job_id), "long")

    def _take(self, connection: Connection, job: Job, worker: str, change: Change, done: WorkDone | None) -> Job:
        taken = log.take(connection, job, worker, self._clock(), done)
        if taken.attempt > 1:
            folders.leave(connection, taken)
        self._changes.topics.add(job_topic(job.id))
        if taken.ended:
            self._changes.topics.add("queue")
            return self._note(Change.ENDED, taken)
        return self._note(Change.TAKEN_OVER if change is Change.CLAIMED and taken.attempt > 1 else change, taken)

    async def renew(self, job_id: str, epoch: int) -> Job:
        done = await self._work_done(job_id)

        def transaction(connection: Connection) -> Job:
            job = log.find_to_change(connection, job_id)
            if job.ended or job.epoch != epoch or job.worker is None:
                raise EpochStale(job_id)
            return self._take(connection, job, job.worker, Change.BEGUN_AGAIN, done)

        renewed = await self._write(transaction)
        if renewed.ended:
            await self._settle(job_id)
        return renewed

    async def release(self, job_id: str, epoch: int) -> None:
        sql = "UPDATE jobs SET worker = NULL WHERE id = ? AND epoch = ? AND status = 'in_progress'"

        def transaction(connection: Connection) -> None:
            connection.execute(sql, [job_id, epoch])
            self._changes.topics.add("queue")

        await self._write(transaction)

    def append(
        self,
        job_id: str,
        epoch: int,
        entries: Sequence[Entry],
        *,
        after: int,
        taken: Sequence[int] = (),
        answer: str | None = None,
    ) -> asyncio.Future[int]:
        loop = asyncio.get_running_loop()
        if not self._appends:
            loop.call_soon(self._write_appends)
        written: asyncio.Future[int] = loop.create_future()
        self._appends.append((Append(job_id, epoch, after, entries, self._clock(), taken, answer), written))
        return written

    def _write_appends(self) -> None:
        """Write the appends of one iteration of the loop, such as at a tick's end, in one transaction."""
        if not self._appends:
            return
        appends, waiting = zip(*self._appends, strict=True)
        self._appends = []

        def transaction(connection: Connection) -> list[Appended | Exception]:
            outcomes = append_all(connection, appends)
            for one, outcome in zip(appends, outcomes, strict=True):
                if isinstance(outcome, Appended):
                    self._changes.topics.add(job_topic(one.job_id))
                    if outcome.ended:
                        self._changes.topics.add("queue")
                        ending = decode(*one.entries[-1])
                        self._note(Change.ENDED, log.find(connection, one.job_id), reason_of(ending))
            return outcomes

        self._database.append(transaction).add_done_callback(partial(_hand_out, waiting))

    async def request_cancel(self, job_id: str, user: str, by: str | None = None) -> Job:
        def transaction(connection: Connection) -> tuple[Job, bool]:
            before = log.find_to_change(connection, job_id, user)
            job = self._wish_to_stop(connection, before, by or user)
            self._changes.topics.update({job_topic(job_id), "cancel", "queue"})
            return job, job.ended and not before.ended

        job, ended = await self._write(transaction)
        if ended:
            await self._settle(job_id)
        return job

    def _wish_to_stop(self, connection: Connection, before: Job, by: str) -> Job:
        job = log.wish_to_stop(connection, before, by, self._clock())
        if job.cancelled_by is not None and before.cancelled_by is None:
            self._note(Change.CANCEL_REQUESTED, job)
        if job.ended and not before.ended:
            self._note(Change.ENDED, job)
        return job

    async def try_now(self, job_id: str, user: str) -> Job:
        def transaction(connection: Connection) -> Job:
            job = log.find_to_change(connection, job_id, user)
            if job.status is JobStatus.IN_PROGRESS and log.is_waiting(connection, job):
                inbox.put_once(connection, job_id, TRY_NOW, {"by": user}, self._clock())
                self._changes.topics.add("cancel")
            return job

        return await self._write(transaction)

    async def edit(self, job_id: str, user: str, text: str) -> Job:
        def transaction(connection: Connection) -> Job:
            before = log.find_to_change(connection, job_id, user)
            if before.status is not JobStatus.QUEUED:
                raise JobConflict("The job has begun; its words cannot be changed any more.")
            job = log.edit(connection, before, text, self._clock())
            threads.retitle(connection, before, job)
            self._announce(job_id, job.thread_id)
            return job

        return await self._write(transaction)

    async def settle(self) -> None:
        sql = "SELECT id FROM jobs WHERE finished_at IS NOT NULL AND answer IS NULL"
        for job_id in await self._read(lambda connection: [row[0] for row in connection.execute(sql)], "long"):
            await self._settle(job_id)

    async def _settle(self, job_id: str) -> None:
        """Store the answer of an ended job. The log, which may be long, is read outside of the write."""
        answer = await self._read(lambda connection: Transcript.of(log.stream(connection, job_id)).answer, "long")
        await self._write(lambda connection: keep_answer(connection, job_id, answer))

    async def get(self, job_id: str, user: str | None = None) -> Job:
        return await self._read(lambda connection: log.find(connection, job_id, user))

    async def jobs(self, query: JobFilter) -> list[Job]:
        return await self._read(lambda connection: log.find_jobs(connection, query))

    async def changed_jobs(self, user: str | None, since: float, limit: int) -> list[Job]:
        until = self._clock() + AHEAD_SECONDS
        return await self._read(lambda connection: log.changed_jobs(connection, user, since, until, limit))

    async def counts(self) -> dict[tuple[str, JobStatus], int]:
        return await self._read(log.counts, "long")

    async def queue(self) -> Queue:
        return await self._read(log.queue)

    async def ended(self, after: tuple[float, str], limit: int) -> list[EndedJob]:
        return await self._read(lambda connection: log.find_ended(connection, after, limit))

    async def held(self, worker: str) -> list[HeldJob]:
        return await self._read(lambda connection: inbox.held(connection, worker))

    async def position(self, job_id: str) -> int | None:
        return await self._read(lambda connection: log.position(connection, job_id))

    async def positions(self, jobs: Sequence[Job]) -> dict[str, int]:
        return await self._read(lambda connection: log.positions(connection, jobs))

    async def read(self, job_id: str, after: int, limit: int) -> list[JobEvent]:
        return await self.read_many({job_id: after}, limit)

    async def read_many(self, after: Mapping[str, int], limit: int) -> list[JobEvent]:
        return await self._read(lambda connection: log.read(connection, after, limit))

    async def last_seqs(self, job_ids: Sequence[str]) -> dict[str, int]:
        if not job_ids:
            return {}
        sql = f"SELECT id, {rows.LENGTH} FROM jobs WHERE id IN ({rows.placeholders(job_ids)})"
        return await self._read(lambda connection: {row[0]: row[1] for row in connection.execute(sql, job_ids)})

    async def milestones(self, job_id: str) -> list[JobEvent]:
        return await self._read(lambda connection: log.milestones(connection, job_id), "long")

    async def summaries(self, jobs: Sequence[Job]) -> dict[str, Transcript]:
        return await self._read(lambda connection: {job.id: log.summary(connection, job) for job in jobs}, "long")

    async def delete_job(self, job_id: str, user: str) -> Removal:
        def transaction(connection: Connection) -> Removal:
            job = log.find_to_change(connection, job_id, user)
            if job.status is JobStatus.QUEUED:
                job = self._wish_to_stop(connection, job, user)
                self._changes.topics.add("queue")
            if not job.ended:
                raise JobConflict("The job is still running; cancel it first.")
            self._announce(job_id, job.thread_id)
            return removals.begin(connection, job)

        return await self._write(transaction)

    async def removals(self) -> list[Removal]:
        return await self._read(removals.unfinished)

    async def finish_removal(self, removal: Removal) -> None:
        await self._forget_events(removal.job_id)
        await self._write(lambda connection: removals.finish(connection, removal))

    # --- threads ----------------------------------------------------------------------------------------------

    async def thread(self, thread_id: str, owner: str | None = None) -> Thread:
        return await self._read(lambda connection: threads.find(connection, thread_id, owner))

    async def threads(self, owner: str, *, search: str | None, limit: int, before: str | None) -> list[Thread]:
        return await self._read(
            lambda connection: threads.find_all(connection, owner, search, limit, before),
            "search" if search else "short",
        )

    async def thread_jobs(self, thread_id: str) -> list[Job]:
        return await self._read(lambda connection: threads.turns(connection, thread_id))

    async def rename_thread(self, thread_id: str, owner: str, title: str) -> None:
        def transaction(connection: Connection) -> None:
            threads.find(connection, thread_id, owner)
            connection.execute("UPDATE threads SET title = ? WHERE id = ?", [title, thread_id])

        await self._write(transaction)

    async def delete_thread(self, thread_id: str, owner: str, *, idle_since: float | None = None) -> list[Job]:
        def transaction(connection: Connection) -> list[Job]:
            threads.find(connection, thread_id, owner)
            if idle_since is not None and not threads.is_idle(connection, thread_id, idle_since):
                raise ThreadNotFound(thread_id)
            connection.execute("UPDATE threads SET deleted_at = ? WHERE id = ?", [self._clock(), thread_id])
            sql = "SELECT id FROM jobs WHERE thread_id = ? AND status IN ('queued', 'in_progress') ORDER BY id"
            active = [row[0] for row in connection.execute(sql, [thread_id]).fetchall()]
            self._changes.topics.update({thread_topic(thread_id), "cancel", "queue", *map(job_topic, active)})
            return [self._wish_to_stop(connection, log.find_to_change(connection, job_id), owner) for job_id in active]

        return await self._write(transaction)

    async def deleted_threads(self) -> list[Thread]:
        return await self._read(threads.deleted)

    async def unused_files(self, user: str, files: Sequence[str], *, without_thread: str | None = None) -> list[str]:
        if not files:
            return []
        used = await self._read(lambda connection: threads.used_files(connection, user, files, without_thread))
        return [file for file in dict.fromkeys(files) if file not in used]

    async def purge_thread(self, thread_id: str) -> None:
        sql = "SELECT id FROM jobs WHERE thread_id = ?"
        jobs = await self._read(lambda connection: [row[0] for row in connection.execute(sql, [thread_id])])
        for job_id in jobs:
            await self._forget_events(job_id)

        def transaction(connection: Connection) -> None:
            sql = "SELECT root_id FROM jobs WHERE thread_id = ?"
            for root_id in {row[0] for row in connection.execute(sql, [thread_id])}:
                uploads.forget_artifacts(connection, root_id)
            for job_id in jobs:
                log.purge(connection, job_id)
                self._changes.topics.add(job_topic(job_id))
            records.forget(connection, f"thread:{thread_id}")
            connection.execute("DELETE FROM threads WHERE id = ?", [thread_id])

        await self._write(transaction)

    async def _forget_events(self, job_id: str) -> None:
        """Delete the job's events in several transactions, so that others may write in between."""
        while await self._write(lambda connection: log.forget_events(connection, job_id)):
            continue

    async def expired_threads(self, before: float, limit: int) -> list[Thread]:
        return await self._read(lambda connection: threads.expired(connection, before, limit))

    async def expired_jobs(self, before: float, limit: int) -> list[Job]:
        return await self._read(lambda connection: log.expired(connection, before, limit))

    # --- what users store -------------------------------------------------------------------------------------

    async def add_upload(self, upload: Upload, *, limited: bool = True) -> None:
        limit = self._limits.stored_bytes if limited else None
        await self._write(lambda connection: uploads.add(connection, upload, limit))

    async def uploads(self, owner: str, *, limit: int, before: str | None = None) -> list[Upload]:
        return await self._read(lambda connection: uploads.find_all(connection, owner, limit, before))

    async def remove_upload(self, file_id: str, owner: str) -> None:
        await self._write(lambda connection: uploads.remove(connection, file_id, owner))

    async def strike_unused_uploads(self, files: Sequence[str]) -> list[str]:
        return await self._write(lambda connection: uploads.strike_unused(connection, files))

    async def forget_uploads(self, files: Sequence[str]) -> None:
        await self._write(lambda connection: uploads.forget(connection, files))

    async def unused_uploads(self, since: float, limit: int) -> list[Upload]:
        return await self._read(lambda connection: uploads.unused_since(connection, since, limit))

    async def unlisted_uploads(self, files: Sequence[str]) -> list[str]:
        return await self._read(lambda connection: uploads.unlisted(connection, files))

    async def stored_bytes(self, owner: str) -> int:
        return await self._read(lambda connection: uploads.stored_bytes(connection, owner))

    async def add_artifact(self, job: Job, name: str, size: int) -> None:
        def transaction(connection: Connection) -> None:
            now = log.find_to_change(connection, job.id)
            if now.epoch != job.epoch or now.ended:
                raise EpochStale(job.id)
            uploads.add_artifact(connection, now, name, size, self._limits.stored_bytes)

        await self._write(transaction)

    # --- workers ----------------------------------------------------------------------------------------------

    async def register_worker(self, record: WorkerRecord) -> None:
        sql = """
            INSERT INTO workers (id, beat, stopped, tasks, catalogue, machine, warm) VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET beat = excluded.beat, stopped = excluded.stopped, tasks = excluded.tasks,
            catalogue = excluded.catalogue, machine = excluded.machine, warm = excluded.warm
        """
        values = [
            record.id,
            record.beat,
            int(record.stopped),
            to_stored(record.tasks),
            to_stored(record.catalogue),
            record.machine,
            int(record.warm),
        ]

        def transaction(connection: Connection) -> None:
            connection.execute(sql, values)
            offers.remember(connection, record.catalogue)
            self._changes.topics.add("workers")

        await self._write(transaction)

    async def remove_worker(self, worker: str) -> None:
        def transaction(connection: Connection) -> None:
            connection.execute("DELETE FROM workers WHERE id = ?", [worker])
            self._changes.topics.update({"workers", "queue"})

        await self._write(transaction)

    async def workers(self) -> list[WorkerRecord]:
        sql = "SELECT * FROM workers"
        return await self._read(lambda connection: [rows.worker(row) for row in connection.execute(sql)])

    def beat(self, worker: str) -> None:
        sql = "UPDATE workers SET beat = beat + 1, stopped = 0 WHERE id = ?"
        self._database.post(lambda connection: connection.execute(sql, [worker]))

    async def suspects(self) -> list[JobHead]:
        return await self._read(log.suspects)

    async def declare_stopped(self, worker: str, beat: int) -> bool:
        def transaction(connection: Connection) -> bool:
            sql = "UPDATE workers SET stopped = 1 WHERE id = ? AND beat = ? AND stopped = 0"
            self._changes.topics.add("queue")
            return connection.execute(sql, [worker, beat]).rowcount == 1

        return await self._write(transaction)

    async def tools(self) -> list[Mapping[str, JSON]]:
        return await self._read(offers.tools)

    async def reserve(self, bucket: str, amount: float, per_minute: float) -> float:
        now = self._clock()
        return await self._write(lambda connection: rates.reserve(connection, bucket, amount * 60 / per_minute, now))

    # --- what tools keep --------------------------------------------------------------------------------------

    async def put_record(self, job: Job, key: str, value: JSON) -> str:
        data = records.stored(value)
        return await self._database.append(lambda connection: records.put(connection, job.id, job.epoch, key, data))

    async def delete_record(self, job: Job, key: str) -> None:
        await self._database.append(lambda connection: records.delete(connection, job.id, job.epoch, key))

    async def record(self, job: Job, key: str) -> JSON:
        return await self._read(lambda connection: records.find(connection, job, key))

    async def records(self, job: Job, prefix: str) -> list[tuple[str, str]]:
        return await self._read(lambda connection: records.versions(connection, job, prefix))

    async def folder(self, job: Job) -> Folder:
        return await self._read(lambda connection: folders.find(connection, job.id, job.epoch))

    async def move_folder(self, job: Job, name: str) -> None:
        await self._database.append(lambda connection: folders.move(connection, job.id, job.epoch, name))

    def add_run(self, run: Run) -> None:
        self._database.post(lambda connection: runs.add(connection, run))

    async def runs(self, name: str) -> list[Run]:
        return await self._read(lambda connection: runs.find(connection, name))

    async def waits(self, jobs: Sequence[Job]) -> dict[str, Range]:
        ids = [job.id for job in jobs if job.status is JobStatus.QUEUED]
        return await self._read(lambda connection: runs.waits(connection, ids, self._clock())) if ids else {}

    async def ping(self) -> None:
        await self._read(lambda connection: connection.execute("SELECT 1").fetchone())

    async def is_writable(self) -> bool:
        if self._probe is None or self._probe.done():
            self._probe = self._database.append(lambda _: None)
        done, _ = await asyncio.wait({self._probe}, timeout=PROBE_SECONDS)
        return bool(done) and self._probe.exception() is None

    # --- the database -----------------------------------------------------------------------------------------

    async def _write(self, transaction: Transaction[T]) -> T:
        self._write_appends()  # earlier calls go first
        return await self._database.write(transaction)

    async def _read(self, query: Transaction[T], lane: Lane = "short") -> T:
        return await self._database.read(query, lane)

    def _announce(self, job_id: str, thread_id: str | None) -> None:
        self._changes.topics.update({"queue", job_topic(job_id)})
        if thread_id:
            self._changes.topics.add(thread_topic(thread_id))

    def _note(self, change: Change, job: Job, reason: str | None = None) -> Job:
        """Record a transition at the end of a transaction: listeners are told when it is committed."""
        self._changes.made.append(Transition(change=change, job=job, reason=reason))
        return job

    def _tell(self, committed: bool) -> None:
        """Wake processes even after a failed commit: they read the store themselves."""
        changes = self._changes
        topics, changes.topics = changes.topics, set()
        if topics:
            self._wake.notify(topics)
        made, changes.made = changes.made, []
        if committed:
            self._transitions.tell(made)


def _hand_out(waiting: Sequence[asyncio.Future[int]], written: asyncio.Future[list[Appended | Exception]]) -> None:
    """Set each append's future to the append's outcome."""
    failure = written.exception()
    outcomes = [failure] * len(waiting) if failure is not None else written.result()
    for done, outcome in zip(waiting, outcomes, strict=True):
        if done.done():
            continue
        if isinstance(outcome, Appended):
            done.set_result(outcome.last_seq)
        else:
            done.set_exception(outcome)


def new_id() -> str:
    return f"job_{secrets.token_hex(12)}"
