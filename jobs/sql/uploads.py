"""What users store, inside a transaction: the list of their uploads, the jobs that use each, and the size of artifacts.

The files themselves are in the file store; this is how they are found by owner, counted and limited.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from jobs.encoding import storable
from jobs.errors import JobConflict, StorageFull, UploadNotFound
from jobs.models import Job, JobRequest, Upload
from jobs.sql import rows
from jobs.sql.connection import Connection, Row

COLUMNS = """
    id, owner, name, mime, size, created_at, (SELECT count(DISTINCT jobs.root_id) FROM job_files
    JOIN jobs ON jobs.id = job_files.job_id WHERE job_files.file_id = uploads.id) AS used_by
"""
UNUSED = "NOT EXISTS (SELECT 1 FROM job_files WHERE file_id = uploads.id)"


def add(connection: Connection, upload: Upload, limit_bytes: int | None) -> None:
    """List an upload; does nothing when it is listed. Raises `StorageFull` when its owner would exceed the limit."""
    listed = connection.execute("SELECT 1 FROM uploads WHERE id = ?", [upload.id]).fetchone() is not None
    if listed:
        return
    if limit_bytes is not None and stored_bytes(connection, upload.owner) + upload.size > limit_bytes:
        raise StorageFull(limit_bytes)
    sql = """
        INSERT INTO uploads (id, owner, name, mime, size, created_at) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO NOTHING
    """
    texts = [upload.id, *map(storable, (upload.owner, upload.name, upload.mime))]
    connection.execute(sql, [*texts, upload.size, upload.created_at])


def add_artifact(connection: Connection, job: Job, name: str, size: int, limit_bytes: int | None) -> None:
    """Count an artifact, in place of an earlier one of this name. Raises `StorageFull`."""
    owner = storable(job.user)
    connection.execute("DELETE FROM artifacts WHERE root_id = ? AND name = ?", [job.root_id, storable(name)])
    if limit_bytes is not None and stored_bytes(connection, owner) + size > limit_bytes:
        raise StorageFull(limit_bytes)
    sql = "INSERT INTO artifacts (root_id, name, owner, size) VALUES (?, ?, ?, ?)"
    connection.execute(sql, [job.root_id, storable(name), owner, size])


def stored_bytes(connection: Connection, owner: str) -> int:
    sql = """
        SELECT (SELECT coalesce(sum(size), 0) FROM uploads WHERE owner = ?)
        + (SELECT coalesce(sum(size), 0) FROM artifacts WHERE owner = ?)
    """
    [row] = connection.execute(sql, [storable(owner)] * 2)
    return int(row[0])


def find_all(connection: Connection, owner: str, limit: int, before: str | None) -> list[Upload]:
    where, values = "owner = ?", [storable(owner)]
    if before is not None:
        where += " AND number < (SELECT number FROM uploads WHERE id = ? AND owner = ?)"
        values += [storable(before), storable(owner)]
    sql = f"SELECT {COLUMNS} FROM uploads WHERE {where} ORDER BY number DESC LIMIT ?"
    return [_upload(row) for row in connection.execute(sql, [*values, limit])]


def unused_since(connection: Connection, since: float, limit: int) -> list[Upload]:
    sql = f"SELECT {COLUMNS} FROM uploads WHERE created_at < ? AND {UNUSED} ORDER BY created_at LIMIT ?"
    return [_upload(row) for row in connection.execute(sql, [since, limit])]


def unlisted(connection: Connection, files: Collection[str]) -> list[str]:
    known = connection.execute(f"SELECT id FROM uploads WHERE id IN ({rows.placeholders(files)})", [*files])
    listed = {row[0] for row in known}
    return [file for file in files if file not in listed]


def remove(connection: Connection, file_id: str, owner: str) -> None:
    """Strike an upload off the list. Raises `UploadNotFound`, and `JobConflict` while an active job uses it."""
    known = connection.execute("SELECT 1 FROM uploads WHERE id = ? AND owner = ?", [storable(file_id), storable(owner)])
    if known.fetchone() is None:
        raise UploadNotFound(file_id)
    active = """
        SELECT 1 FROM job_files JOIN jobs ON jobs.id = job_files.job_id
        WHERE job_files.file_id = ? AND jobs.status IN ('queued', 'in_progress') LIMIT 1
    """
    if connection.execute(active, [file_id]).fetchone() is not None:
        raise JobConflict("A job that has not ended uses the file; wait for its end, or stop it.")
    forget(connection, [file_id])


def forget(connection: Connection, files: Sequence[str]) -> None:
    connection.execute(f"DELETE FROM uploads WHERE id IN ({rows.placeholders(files)})", [*files])


def strike_unused(connection: Connection, files: Sequence[str]) -> list[str]:
    """Strike off those that no job names now. Returns their ids, whose content is to be deleted."""
    marks = rows.placeholders(files)
    unused = connection.execute(f"SELECT id FROM uploads WHERE id IN ({marks}) AND {UNUSED}", [*files])
    struck = [row[0] for row in unused]
    if struck:
        forget(connection, struck)
    return struck


def forget_artifacts(connection: Connection, root_id: str) -> None:
    connection.execute("DELETE FROM artifacts WHERE root_id = ?", [root_id])


def use(connection: Connection, job_id: str, request: JobRequest) -> None:
    """Note which uploads a new job names."""
    used = [(storable(file), job_id) for file in dict.fromkeys(request.files)]
    if used:
        connection.executemany("INSERT INTO job_files (file_id, job_id) VALUES (?, ?)", used)


def release(connection: Connection, job_id: str) -> None:
    connection.execute("DELETE FROM job_files WHERE job_id = ?", [job_id])


def _upload(row: Row) -> Upload:
    return Upload(**{name: row[name] for name in Upload.__dataclass_fields__})
