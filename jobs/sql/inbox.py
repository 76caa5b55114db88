"""The inbox of running jobs, inside a transaction: messages stay until the holder writes them into the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.encoding import from_stored, to_stored
from jobs.events import Payload
from jobs.models import JSON, HeldJob, InboxMessage
from jobs.sql.connection import Connection


def put(connection: Connection, job_id: str, payload: Payload, at: float) -> None:
    """Put an event that the holder writes as it is."""
    _put(connection, job_id, payload.type, payload.entry().data, at)


def put_once(connection: Connection, job_id: str, kind: str, data: Mapping[str, JSON], at: float) -> None:
    """Put a message, unless one of its kind waits already."""
    same = connection.execute("SELECT 1 FROM job_inbox WHERE job_id = ? AND type = ?", [job_id, kind])
    if same.fetchone() is None:
        _put(connection, job_id, kind, to_stored(data), at)


def _put(connection: Connection, job_id: str, kind: str, data: str, at: float) -> None:
    sql = "INSERT INTO job_inbox (job_id, type, data, at) VALUES (?, ?, ?, ?)"
    connection.execute(sql, [job_id, kind, data, at])


def remove(connection: Connection, numbers: Sequence[int]) -> None:
    connection.executemany("DELETE FROM job_inbox WHERE number = ?", [(number,) for number in numbers])


def clear(connection: Connection, job_id: str) -> None:
    """Delete the messages of a job that has ended."""
    connection.execute("DELETE FROM job_inbox WHERE job_id = ?", [job_id])


def held(connection: Connection, worker: str) -> list[HeldJob]:
    """Returns the jobs that the worker holds, each with its messages."""
    sql = """
        SELECT id, epoch, message.number, message.type, message.data
        FROM jobs LEFT JOIN job_inbox AS message ON message.job_id = jobs.id
        WHERE status = 'in_progress' AND worker = ? ORDER BY jobs.number, message.number
    """
    inboxes: dict[tuple[str, int], list[InboxMessage]] = {}
    for job_id, epoch, number, kind, data in connection.execute(sql, [worker]):
        messages = inboxes.setdefault((job_id, epoch), [])
        if number is not None:
            messages.append(InboxMessage(number=number, type=kind, data=from_stored(data)))
    return [HeldJob(id=job_id, epoch=epoch, inbox=tuple(inbox)) for (job_id, epoch), inbox in inboxes.items()]
