"""Which folder holds the files that a conversation's tools keep, inside a transaction.

A takeover leaves the folder: whoever ran the job may still write into it. The next call moves on to a copy, in a
transaction that only the holder of the job's epoch can make, so that nobody reads what an earlier holder writes.
"""

from __future__ import annotations

from jobs.encoding import from_stored, to_stored
from jobs.errors import EpochStale
from jobs.models import Folder, Job
from jobs.sql import log, records
from jobs.sql.connection import Connection

NAME = "name"
LEFT = "left"


def find(connection: Connection, job_id: str, epoch: int) -> Folder:
    """Raises `EpochStale`, `JobNotFound`. Reads the job last: the folder was its epoch's when it was read."""
    owner = scope(log.find(connection, job_id))
    rows = connection.execute("SELECT key, data FROM records WHERE scope = ?", [owner])
    kept = {row[0]: from_stored(row[1]) for row in rows}
    job = log.find(connection, job_id)
    if job.epoch != epoch or job.ended:
        raise EpochStale(job_id)
    return Folder(name=str(kept.get(NAME, "")), left=LEFT in kept)


def leave(connection: Connection, job: Job) -> None:
    records.write(connection, scope(job), LEFT, to_stored(True))


def move(connection: Connection, job_id: str, epoch: int, name: str) -> None:
    """Raises `EpochStale`, `JobNotFound`."""
    owner = scope(records.fenced(connection, job_id, epoch))
    records.write(connection, owner, NAME, to_stored(name))
    connection.execute("DELETE FROM records WHERE scope = ? AND key = ?", [owner, LEFT])


def scope(job: Job) -> str:
    """No tool's records have it."""
    return records.FOLDERS + records.scope(job)
