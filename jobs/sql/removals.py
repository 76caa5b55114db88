"""Deleted jobs, inside a transaction, until their events and files are gone, also if a process dies meanwhile."""

from __future__ import annotations

from jobs.models import Job, Removal
from jobs.sql import log, records, uploads
from jobs.sql.connection import Connection


def begin(connection: Connection, job: Job) -> Removal:
    """Delete the job itself, and note what is left of it."""
    log.purge(connection, job.id)
    others = connection.execute("SELECT 1 FROM jobs WHERE root_id = ? LIMIT 1", [job.root_id]).fetchone()
    removal = Removal(job_id=job.id, owner=job.user, root_id=None if others else job.root_id)
    if removal.root_id is not None:
        uploads.forget_artifacts(connection, removal.root_id)
        if job.thread_id is None:
            records.forget(connection, records.scope(job))
    sql = "INSERT INTO removals (job_id, owner, root_id) VALUES (?, ?, ?)"
    connection.execute(sql, [removal.job_id, removal.owner, removal.root_id])
    return removal


def unfinished(connection: Connection) -> list[Removal]:
    found = connection.execute("SELECT job_id, owner, root_id FROM removals ORDER BY job_id")
    return [Removal(job_id=row[0], owner=row[1], root_id=row[2]) for row in found]


def finish(connection: Connection, removal: Removal) -> None:
    connection.execute("DELETE FROM removals WHERE job_id = ?", [removal.job_id])
