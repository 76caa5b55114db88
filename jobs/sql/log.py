"""Jobs and their event logs inside a transaction: find, insert, claim, retry, read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from jobs import rules
from jobs.errors import JobNotFound, QueueFull
from jobs.events import (
    Entry,
    Interruption,
    JobCancelled,
    JobCancelling,
    JobEdited,
    JobEvent,
    JobQueued,
    JobStarted,
    Progress,
    StepPayload,
    StepWaiting,
    TextDelta,
)
from jobs.models import Job, JobRequest, JobStatus, Queue
from jobs.rules import Claims, Eligibility, JobHead, Reuse, Stop, is_next_turn
from jobs.sql import inbox, rows, uploads
from jobs.sql.appends import append
from jobs.sql.connection import Connection, Row
from jobs.store import EndedJob, JobFilter
from jobs.transcript import Transcript


class WorkDone(NamedTuple):
    """What a job's next attempt finds in the log."""

    kept: int
    """How many steps have finished."""
    again: Sequence[str]
    """The steps that were interrupted."""


EntryAt = tuple[Entry, float]
"""An event of an earlier log and its time."""

MAX_DELETED = 5_000
"""Events deleted in one transaction: other writers wait for it."""
EVENTS = f"SELECT {rows.EVENT} FROM job_events"
HEADS = 'SELECT id, priority, number, protocol, task, "user", thread_id, turn, worker, cancelled_by, deaths FROM jobs'
FEW_POSITIONS = 10
MAX_HEADS = 100
"""Queued jobs that are read at a time."""
MILESTONES = "type NOT IN ('text.delta', 'progress')"


def find(connection: Connection, job_id: str, user: str | None = None) -> Job:
    return _found(connection.execute(f"{rows.JOB} WHERE id = ?", [job_id]).fetchone(), job_id, user)


def find_to_change(connection: Connection, job_id: str, user: str | None = None) -> Job:
    """As `find`; until the transaction ends, the job's holder cannot write either."""
    connection.lock_jobs([job_id])
    return find(connection, job_id, user)


def _found(row: Row | None, job_id: str, user: str | None) -> Job:
    if row is None or (user is not None and row["user"] != user):
        raise JobNotFound(job_id)
    return rows.job(row)


def find_by_key(connection: Connection, request: JobRequest) -> Job | None:
    if request.key is None:
        return None
    sql = f'{rows.JOB} WHERE "user" = ? AND submit_key = ?'
    row = connection.execute(sql, [request.user, request.key]).fetchone()
    if row is None:
        return None
    job = rows.job(row)
    edited = f"SELECT 1 FROM job_events WHERE job_id = ? AND {MILESTONES} AND type = ? LIMIT 1"
    was_edited = connection.execute(edited, [job.id, JobEdited.type]).fetchone() is not None
    rules.check_same(request, job, edited=was_edited)
    return job


def find_jobs(connection: Connection, query: JobFilter) -> list[Job]:
    theirs, owner = _of_user(query.user)
    where, values = [theirs], [*owner]
    for column in ("status", "task", "thread_id"):
        if (value := getattr(query, column)) is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if query.before is not None:
        where.append(f"number < (SELECT number FROM jobs WHERE id = ? AND {theirs})")
        values += [query.before, *owner]
    sql = f"{rows.JOB} WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT ?"
    return [rows.job(row) for row in connection.execute(sql, [*values, query.limit])]


def changed_jobs(connection: Connection, user: str | None, since: float, until: float, limit: int) -> list[Job]:
    theirs, owner = _of_user(user)
    active = f"""
        {rows.JOB} WHERE number IN (SELECT number FROM jobs WHERE status = 'queued' AND {theirs}
        UNION ALL SELECT number FROM jobs WHERE status = 'in_progress' AND {theirs}) ORDER BY number LIMIT ?
    """
    # IS TRUE: SQLite would rather look through all jobs of the user than through those that ended since.
    ended = f"{rows.JOB} WHERE finished_at BETWEEN ? AND ? AND ({theirs}) IS TRUE ORDER BY finished_at DESC LIMIT ?"
    found = [
        *connection.execute(active, [*owner, *owner, limit]),
        *connection.execute(ended, [since, until, *owner, limit]),
    ]
    return [rows.job(row) for row in found]


def _of_user(user: str | None) -> tuple[str, list[str]]:
    """Returns the condition on a job, and its values; None means all users."""
    return ("true", []) if user is None else ('"user" = ?', [user])


def expired(connection: Connection, before: float, limit: int) -> list[Job]:
    """Returns jobs without a thread that ended before, the oldest first."""
    sql = f"{rows.JOB} WHERE finished_at < ? AND thread_id IS NULL ORDER BY finished_at LIMIT ?"
    return [rows.job(row) for row in connection.execute(sql, [before, limit])]


def counts(connection: Connection) -> dict[tuple[str, JobStatus], int]:
    sql = "SELECT task, status, count(*) FROM jobs GROUP BY task, status"
    return {(task, JobStatus(status)): count for task, status, count in connection.execute(sql)}


def find_ended(connection: Connection, after: tuple[float, str], limit: int) -> list[EndedJob]:
    sql = f"""
        SELECT id, task, status, created_at, started_at, first_text_at, finished_at,
        (SELECT at FROM job_events WHERE job_id = jobs.id AND {MILESTONES} AND type = 'job.cancelling'
         AND jobs.status = 'cancelled' ORDER BY seq DESC LIMIT 1) AS cancelling_at,
        (SELECT data FROM job_events WHERE job_id = jobs.id AND {MILESTONES} AND type = 'job.completed'
         AND jobs.status = 'completed' ORDER BY seq DESC LIMIT 1) AS completed
        FROM jobs WHERE finished_at >= ? AND (finished_at, id) > (?, ?) ORDER BY finished_at, id LIMIT ?
    """  # the first condition lets SQLite use the index
    return [rows.ended(row) for row in connection.execute(sql, [after[0], *after, limit])]


def queue(connection: Connection) -> Queue:
    [row] = connection.execute("SELECT count(*), min(created_at) FROM jobs WHERE status = 'queued'")
    return Queue(*row)


def insert_job(
    connection: Connection,
    job_id: str,
    request: JobRequest,
    *,
    turn: int,
    root_id: str,
    retry_of: str | None,
    at: float,
) -> Job:
    """Insert the job and event 1. A retry keeps the request's key, but only its original is found by it."""
    connection.execute(
        """
        INSERT INTO jobs (id, task, "user", request, submit_key, status, thread_id, turn, retry_of, root_id, created_at,
        priority, protocol, patience_seconds) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
            job_id,
            request.task,
            request.user,
            rows.encode_request(request),
            request.key if retry_of is None else None,
            request.thread_id,
            turn,
            retry_of,
            root_id,
            at,
            rules.priority(request),
            rules.PROTOCOL,
            request.patience_seconds,
        ],
    )
    uploads.use(connection, job_id, request)
    append(connection, job_id, [JobQueued(position=position(connection, job_id) or 0)], at, epoch=0, after=0)
    return find(connection, job_id)


def check_room(connection: Connection, user: str, limit: int | None) -> None:
    """Raises `QueueFull` when so many of the user's jobs wait."""
    if limit is None:
        return
    sql = """SELECT count(*) FROM (SELECT 1 FROM jobs WHERE status = 'queued' AND "user" = ? LIMIT ?) AS waiting"""
    [row] = connection.execute(sql, [user, limit])
    if row[0] >= limit:
        raise QueueFull(limit)


def position(connection: Connection, job_id: str) -> int | None:
    """Returns the number of queued jobs before it and of running turns of its thread, or None when it is not queued."""
    sql = """
        SELECT (SELECT count(*) FROM jobs WHERE status = 'queued' AND priority < job.priority)
             + (SELECT count(*) FROM jobs WHERE status = 'queued' AND priority = job.priority AND number < job.number)
             + (SELECT count(*) FROM jobs WHERE status = 'in_progress' AND thread_id = job.thread_id)
        FROM jobs AS job WHERE id = ? AND status = 'queued'
    """  # each a range of an index
    row = connection.execute(sql, [job_id]).fetchone()
    return None if row is None else int(row[0])


def positions(connection: Connection, jobs: Sequence[Job]) -> dict[str, int]:
    """Returns the positions of the queued ones; those of many from one read of the queue."""
    queued = [job.id for job in jobs if job.status is JobStatus.QUEUED]
    if len(queued) <= FEW_POSITIONS:
        found = ((job_id, position(connection, job_id)) for job_id in queued)
        return {job_id: before for job_id, before in found if before is not None}
    wanted = {job.id: job.thread_id for job in jobs}
    running = "SELECT thread_id, count(*) FROM jobs WHERE status = 'in_progress' GROUP BY thread_id"
    busy = {row[0]: row[1] for row in connection.execute(running) if row[0] is not None}
    queue = connection.execute("SELECT id FROM jobs WHERE status = 'queued' ORDER BY priority, number")
    return {row[0]: before + busy.get(wanted[row[0]], 0) for before, row in enumerate(queue) if row[0] in wanted}


def find_eligible(connection: Connection, worker: str, eligibility: Eligibility) -> str | None:
    """Returns the id of the job to claim: one that lost its holder, else the first eligible one of the queue."""
    held = connection.execute(f"{HEADS} WHERE status = 'in_progress' ORDER BY priority, number")
    claims = Claims(worker, eligibility, [JobHead._make(row) for row in held])
    if (lost := claims.lost()) is not None:
        return lost.id
    if eligibility.only is not None:
        return None
    for head in _queue(connection, without=[*claims.full_users]):
        if claims.may_begin(head) and is_next_turn(head, _waiting(connection, head)):
            return head.id
    return None


def _queue(connection: Connection, *, without: Sequence[str]) -> Iterator[JobHead]:
    """Yields the queued jobs in their order, but for those of some users."""
    others = f' AND "user" NOT IN ({rows.placeholders(without)})' if without else ""
    sql = f"""
        {HEADS} WHERE status = 'queued' AND (priority, number) > (?, ?){others}
        ORDER BY priority, number LIMIT {MAX_HEADS}
    """
    place = (-1, -1)
    while heads := [JobHead._make(row) for row in connection.execute(sql, [*place, *without])]:
        yield from heads
        if len(heads) < MAX_HEADS:
            return
        place = heads[-1].priority, heads[-1].number


def suspects(connection: Connection) -> list[JobHead]:
    """Returns the jobs in progress under which workers died."""
    found = connection.execute(f"{HEADS} WHERE status = 'in_progress' AND deaths >= ?", [rules.SUSPECT_DEATHS])
    return [JobHead._make(row) for row in found]


def _waiting(connection: Connection, head: JobHead) -> list[JobHead]:
    """Returns the queued jobs of the same thread."""
    if head.thread_id is None:
        return []
    sql = f"{HEADS} WHERE thread_id = ? AND status = 'queued'"
    return [JobHead._make(row) for row in connection.execute(sql, [head.thread_id])]


def work_done(connection: Connection, job_id: str) -> WorkDone:
    steps = Transcript.of(milestones(connection, job_id)).steps
    steps = {path: step for path, step in steps.items() if step.started.kind != "reasoning"}  # of its model's call
    again = [path for path, step in steps.items() if step.finished is None]
    return WorkDone(kept=len(steps) - len(again), again=again)


def take(connection: Connection, job: Job, worker: str, at: float, done: WorkDone | None) -> Job:
    """Claim a job read by `find_to_change`, under its next epoch. A cancelled one ends here, without running.

    `done` is None for a job that no worker has begun.
    """
    begins = JobStarted(attempt=job.epoch + 1, worker=worker)
    if done is not None:
        after = _interruption(connection, job, worker)
        if rules.is_death(after) and job.worker != worker:
            connection.execute("UPDATE jobs SET deaths = deaths + 1 WHERE id = ?", [job.id])
        begins = replace(
            begins,
            after=after,
            kept=done.kept,
            again=done.again,
            pause_seconds=round(max(0.0, at - _written_at(connection, job)), 3),
        )
    connection.execute(
        "UPDATE jobs SET status = 'in_progress', epoch = epoch + 1, worker = ?, started_at = coalesce(started_at, ?),"
        " protocol = ? WHERE id = ?",
        [worker, at, rules.PROTOCOL, job.id],
    )
    epoch, seq = job.epoch + 1, job.last_seq
    if job.cancelled_by is not None:
        append(connection, job.id, [JobCancelled(stopped=[])], at, epoch=epoch, after=seq)
        return find(connection, job.id)
    append(connection, job.id, [begins], at, epoch=epoch, after=seq)
    started_at = at if job.started_at is None else job.started_at
    return replace(
        job, status=JobStatus.IN_PROGRESS, epoch=epoch, worker=worker, started_at=started_at, last_seq=seq + 1
    )


def _written_at(connection: Connection, job: Job) -> float:
    [row] = connection.execute("SELECT at FROM job_events WHERE job_id = ? AND seq = ?", [job.id, job.last_seq])
    return float(row[0])


def _interruption(connection: Connection, job: Job, worker: str) -> Interruption:
    """Returns what ended the attempt before."""
    if job.worker is None:
        return "handed_over"
    stood_still = connection.execute("SELECT 1 FROM workers WHERE id = ? AND stopped = 1", [job.worker]).fetchone()
    return "stalled" if stood_still or job.worker == worker else "worker_died"


def wish_to_stop(connection: Connection, job: Job, by: str, at: float) -> Job:
    """Put the wish into the inbox of a job read by `find_to_change`, once. A job that no worker has begun ends at once,
    under a new epoch."""
    wish = JobCancelling(by=by)
    match rules.stop(job):
        case Stop.NOTHING:
            return job
        case Stop.END:
            connection.execute("UPDATE jobs SET cancelled_by = ?, epoch = epoch + 1 WHERE id = ?", [by, job.id])
            end = [wish, JobCancelled(stopped=[])]
            append(connection, job.id, end, at, epoch=job.epoch + 1, after=job.last_seq)
        case Stop.TELL:
            connection.execute("UPDATE jobs SET cancelled_by = ? WHERE id = ?", [by, job.id])
            inbox.put(connection, job.id, wish, at)
    return find(connection, job.id)


def is_waiting(connection: Connection, job: Job) -> bool:
    """Whether the job's last event says that it waits for something outside."""
    sql = "SELECT 1 FROM job_events WHERE job_id = ? AND seq = ? AND type = ?"
    return connection.execute(sql, [job.id, job.last_seq, StepWaiting.type]).fetchone() is not None


def edit(connection: Connection, job: Job, text: str, at: float) -> Job:
    """Replace the words of a job read by `find_to_change` that no worker has begun."""
    request = replace(job.request, input=text)
    connection.execute("UPDATE jobs SET request = ? WHERE id = ?", [rows.encode_request(request), job.id])
    append(connection, job.id, [JobEdited(input=text)], at, epoch=job.epoch, after=job.last_seq)
    return find(connection, job.id)


def newest_of_chain(connection: Connection, root_id: str) -> Job:
    sql = f"{rows.JOB} WHERE root_id = ? ORDER BY number DESC LIMIT 1"
    return _found(connection.execute(sql, [root_id]).fetchone(), root_id, None)


def reused_events(connection: Connection, failed: Job) -> list[EntryAt]:
    """Returns the events that a retry of an ended job reuses."""
    reuse = Reuse(milestones(connection, failed.id), cut_off=failed.status is JobStatus.INCOMPLETE)
    return [(payload.entry(), at) for payload, at in reuse.entries(stream(connection, failed.id))]


def insert_retry(
    connection: Connection,
    job_id: str,
    failed: Job,
    request: JobRequest,
    reused: Sequence[EntryAt],
    at: float,
) -> None:
    """Insert a job in the failed one's turn, with the events of its finished steps and its artifacts."""
    insert_job(connection, job_id, request, turn=failed.turn, root_id=failed.root_id, retry_of=failed.id, at=at)
    connection.executemany(
        "INSERT INTO job_events (job_id, seq, epoch, type, data, at) VALUES (?, ?, 0, ?, ?, ?)",
        [(job_id, seq, entry.type, entry.data, said_at) for seq, (entry, said_at) in enumerate(reused, 2)],
    )


def stream(connection: Connection, job_id: str) -> Iterator[JobEvent]:
    """Yields the whole log."""
    for row in connection.execute(f"{EVENTS} WHERE job_id = ? ORDER BY seq", [job_id]):
        yield rows.event(row)


def read(connection: Connection, after: Mapping[str, int], limit: int) -> list[JobEvent]:
    sql = f"{EVENTS} WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?"
    found = connection.execute_each(sql, [(job_id, seq, limit) for job_id, seq in after.items()])
    return [rows.event(row) for row in found]


def milestones(connection: Connection, job_id: str) -> list[JobEvent]:
    sql = f"{EVENTS} WHERE job_id = ? AND {MILESTONES} ORDER BY seq"
    return [rows.event(row) for row in connection.execute(sql, [job_id])]


def summary(connection: Connection, job: Job) -> Transcript:
    """Returns the fold of the log without text: progress, artifacts, the last event, a running job's last step.

    The last event that is not text says when the job will count as stalled.
    """
    reported = f"{EVENTS} WHERE job_id = ? AND type = 'progress' ORDER BY seq DESC LIMIT 1"
    made = f"{EVENTS} WHERE job_id = ? AND type = 'artifact' ORDER BY seq"
    begun = f"{EVENTS} WHERE job_id = ? AND {MILESTONES} AND type = 'step.started' ORDER BY seq DESC LIMIT 1"
    asked = (reported, made) if job.ended else (reported, made, begun)
    found = [row for sql in asked for row in connection.execute(sql, [job.id])]
    events = [*map(rows.event, found), *read(connection, {job.id: job.last_seq - 1}, limit=1)]
    transcript = Transcript.of(events)
    transcript.heard_at = events[-1].at if events else None
    transcript.reported_at = next((event.at for event in events if event.type == Progress.type), None)
    if not job.ended:
        said = f"{EVENTS} WHERE job_id = ? AND {MILESTONES} ORDER BY seq DESC LIMIT 1"
        events += map(rows.event, connection.execute(said, [job.id]))
        transcript.stalled_at = _stalled_at(max(events, key=_place, default=None))
    return transcript


def _place(event: JobEvent) -> int:
    return -1 if event.type == TextDelta.type else event.seq


def _stalled_at(event: JobEvent | None) -> float | None:
    payload = None if event is None else event.payload
    seconds = payload.stalled_after_seconds if isinstance(payload, StepPayload) else None
    return None if event is None or seconds is None else event.at + seconds


def purge(connection: Connection, job_id: str) -> None:
    """Delete the job; `forget_events` deletes its events."""
    uploads.release(connection, job_id)
    connection.execute("DELETE FROM jobs WHERE id = ?", [job_id])
    inbox.clear(connection, job_id)


def forget_events(connection: Connection, job_id: str) -> bool:
    """Delete some of the job's events, the last ones first. Returns whether there were any."""
    newest = "SELECT seq FROM job_events WHERE job_id = ? ORDER BY seq DESC LIMIT 1 OFFSET ?"
    row = connection.execute(newest, [job_id, MAX_DELETED - 1]).fetchone()
    first = row[0] if row else 0
    return connection.execute("DELETE FROM job_events WHERE job_id = ? AND seq >= ?", [job_id, first]).rowcount > 0
