"""Converts rows to records, and requests to text and back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace

from jobs.encoding import from_stored, to_stored
from jobs.events import JobEvent
from jobs.models import JSON, Job, JobRequest, JobStatus, Thread, WorkerRecord
from jobs.sql.connection import Row
from jobs.store import EndedJob

EVENT = ", ".join(JobEvent._fields)
"""The columns of an event."""


LENGTH = "(SELECT coalesce(max(seq), 0) FROM job_events WHERE job_id = jobs.id) AS length"
"""The column of a log's length. It comes from the log itself: under an old snapshot, such as that of a dump, PostgreSQL
would keep each version of a job's row that counts its events, and read through all of them."""
JOB = f"SELECT jobs.*, {LENGTH} FROM jobs"


REQUEST = frozenset(JobRequest.__dataclass_fields__)


def placeholders(values: Collection[object]) -> str:
    """Returns the `?, ?, …` of an SQL list with these values."""
    return ", ".join("?" * len(values))


def encode_request(request: JobRequest) -> str:
    """Without `patience_seconds`, which has a column, and `agent` where it says nothing: versions before them refuse a
    request with other fields."""
    fields = {**asdict(request), "arguments": dict(request.arguments)}
    if not request.agent:
        del fields["agent"]
    del fields["patience_seconds"]
    return to_stored(fields)


def decode_request(text: str) -> JobRequest:
    stored: dict[str, JSON] = from_stored(text)
    fields = {name: value for name, value in stored.items() if name in REQUEST}  # a later version may store more
    fields["files"] = tuple(fields["files"])
    return JobRequest(**fields)


def job(row: Row) -> Job:
    """Of a row that `JOB` selects."""
    return Job(
        id=row["id"],
        request=replace(decode_request(row["request"]), patience_seconds=row["patience_seconds"]),
        status=JobStatus(row["status"]),
        epoch=row["epoch"],
        worker=row["worker"],
        turn=row["turn"],
        retry_of=row["retry_of"],
        root_id=row["root_id"],
        cancelled_by=row["cancelled_by"],
        last_seq=row["length"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        number=row["number"],
    )


def ended(row: Row) -> EndedJob:
    return EndedJob(
        id=row["id"],
        task=row["task"],
        status=JobStatus(row["status"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        first_text_at=row["first_text_at"],
        cancelling_at=row["cancelling_at"],
        finished_at=row["finished_at"],
        usage=from_stored(row["completed"])["usage"] if row["completed"] else None,
    )


def event(row: Row) -> JobEvent:
    """Of a row with the columns `EVENT`."""
    return JobEvent._make(row)


def thread(row: Row) -> Thread:
    return Thread(
        id=row["id"],
        owner=row["owner"],
        title=row["title"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def worker(row: Row) -> WorkerRecord:
    return WorkerRecord(
        id=row["id"],
        beat=row["beat"],
        stopped=bool(row["stopped"]),
        tasks=tuple(from_stored(row["tasks"])),
        catalogue=tuple(from_stored(row["catalogue"])),
        machine=row["machine"],
        warm=bool(row["warm"]),
    )
