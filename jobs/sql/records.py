"""Records inside a transaction: values that a job's tools keep for its conversation, or for its chain of retries."""

from __future__ import annotations

import hashlib

from jobs.encoding import from_stored, to_stored
from jobs.errors import EpochStale, RecordRefused
from jobs.models import JSON, Job
from jobs.sql import log
from jobs.sql.connection import Connection

MAX_KEY = 200
MAX_BYTES = 1_000_000
MAX_RECORDS = 10_000
MAX_SCOPE_BYTES = 200_000_000
"""Of all records of a conversation."""
FOLDERS = "folder of "
"""Before the scope of a conversation, whose folder is kept there (`jobs/sql/folders.py`)."""


def scope(job: Job) -> str:
    return f"thread:{job.thread_id}" if job.thread_id is not None else f"job:{job.root_id}"


def put(connection: Connection, job_id: str, epoch: int, key: str, data: str) -> str:
    """Returns the version. Raises `EpochStale`, `JobNotFound`, and `RecordRefused` beyond a limit."""
    if not 0 < len(key) <= MAX_KEY or not key.isprintable():
        raise RecordRefused(f"A record's key is printable and has 1 to {MAX_KEY} characters: {key[:40]!r} is none.")
    owner = scope(fenced(connection, job_id, epoch))
    others = "SELECT count(*), coalesce(sum(size), 0) FROM records WHERE scope = ? AND key <> ?"
    [row] = connection.execute(others, [owner, key])
    size = len(data.encode())
    if row[0] >= MAX_RECORDS:
        raise RecordRefused(f"The conversation keeps {MAX_RECORDS:,} records already, which is the limit.")
    if row[1] + size > MAX_SCOPE_BYTES:
        raise RecordRefused(f"The conversation's records would exceed the limit of {MAX_SCOPE_BYTES / 1e6:.0f} MB.")
    return write(connection, owner, key, data)


def write(connection: Connection, owner: str, key: str, data: str) -> str:
    """Returns the version. The caller has checked that it may."""
    sql = """
        INSERT INTO records (scope, key, version, size, data) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (scope, key)
        DO UPDATE SET version = excluded.version, size = excluded.size, data = excluded.data
    """
    content = data.encode()
    version = hashlib.sha256(content).hexdigest()[:32]
    connection.execute(sql, [owner, key, version, len(content), data])
    return version


def delete(connection: Connection, job_id: str, epoch: int, key: str) -> None:
    """Raises `EpochStale`, `JobNotFound`."""
    owner = scope(fenced(connection, job_id, epoch))
    connection.execute("DELETE FROM records WHERE scope = ? AND key = ?", [owner, key])


def find(connection: Connection, job: Job, key: str) -> JSON:
    row = connection.execute("SELECT data FROM records WHERE scope = ? AND key = ?", [scope(job), key]).fetchone()
    return None if row is None else from_stored(row[0])


def versions(connection: Connection, job: Job, prefix: str) -> list[tuple[str, str]]:
    sql = "SELECT key, version FROM records WHERE scope = ? AND substr(key, 1, ?) = ? ORDER BY number"
    return [(row[0], row[1]) for row in connection.execute(sql, [scope(job), len(prefix), prefix])]


def forget(connection: Connection, owner: str) -> None:
    connection.execute("DELETE FROM records WHERE scope IN (?, ?)", [owner, FOLDERS + owner])


def stored(value: JSON) -> str:
    """Returns what is kept of the value. Raises `RecordRefused` for one that is too large."""
    data = to_stored(value)
    if len(data.encode()) > MAX_BYTES:
        raise RecordRefused(f"The record has {len(data) / 1e6:.1f} MB, and the limit is {MAX_BYTES / 1e6:.0f} MB.")
    return data


def fenced(connection: Connection, job_id: str, epoch: int) -> Job:
    """Returns the job, which stays this epoch's until the transaction ends. Raises `EpochStale`, `JobNotFound`."""
    connection.lock_jobs([job_id])
    job = log.find(connection, job_id)
    if job.epoch != epoch or job.ended:
        raise EpochStale(job_id)
    return job
