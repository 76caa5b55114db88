"""Threads inside a transaction: their turns, their titles, finding them."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.encoding import storable
from jobs.errors import ThreadNotFound
from jobs.models import Job, JobRequest, Thread, is_thread_id
from jobs.rules import TITLE_PARTS, title_of
from jobs.sql import rows
from jobs.sql.connection import Connection


def find(connection: Connection, thread_id: str, owner: str | None) -> Thread:
    row = connection.execute("SELECT * FROM threads WHERE id = ? AND deleted_at IS NULL", [thread_id]).fetchone()
    if row is None or (owner is not None and row["owner"] != owner):
        raise ThreadNotFound(thread_id)
    return rows.thread(row)


def retitle(connection: Connection, before: Job, after: Job) -> None:
    """Let the title follow the words of the job that it was taken from, unless a user has renamed the thread."""
    if before.thread_id is None or before.turn != 1:
        return
    title, old = find(connection, before.thread_id, None).title, storable(title_of(before.request))
    if title == old or title.startswith(f"{old}{TITLE_PARTS}"):
        new = storable(title_of(after.request)) + title.removeprefix(old)
        connection.execute("UPDATE threads SET title = ? WHERE id = ?", [new, before.thread_id])


def next_turn(connection: Connection, request: JobRequest, at: float) -> int:
    """Returns the turn of the new job. Creates its thread if that is new."""
    thread_id = str(request.thread_id)
    row = connection.execute("SELECT owner, deleted_at FROM threads WHERE id = ?", [thread_id]).fetchone()
    if row is None:
        if not is_thread_id(thread_id):
            raise ThreadNotFound(thread_id)
        sql = "INSERT INTO threads (id, owner, title, created_at, updated_at) VALUES (?, ?, ?, ?, ?)"
        connection.execute(sql, [thread_id, request.user, storable(title_of(request)), at, at])
        return 1
    if row["owner"] != request.user or row["deleted_at"] is not None:
        raise ThreadNotFound(thread_id)
    connection.execute("UPDATE threads SET updated_at = ? WHERE id = ?", [at, thread_id])
    sql = "SELECT coalesce(max(turn), 0) + 1 FROM jobs WHERE thread_id = ?"
    [row] = connection.execute(sql, [thread_id])
    return int(row[0])


def before_waiting(connection: Connection, thread_id: str, turn: int) -> int:
    """Returns the turn of a new job that runs before those that wait, which move up by one; `turn` if none waits.

    Only turns behind all that have begun move: a retry waits in its original's turn, which may be an old one.
    """
    sql = """
        SELECT min(turn) FROM jobs WHERE thread_id = ? AND status = 'queued'
        AND turn > (SELECT coalesce(max(turn), 0) FROM jobs WHERE thread_id = ? AND status <> 'queued')
    """
    [row] = connection.execute(sql, [thread_id, thread_id])
    if row[0] is None:
        return turn
    connection.execute("UPDATE jobs SET turn = turn + 1 WHERE thread_id = ? AND turn >= ?", [thread_id, row[0]])
    return int(row[0])


def find_all(connection: Connection, owner: str, search: str | None, limit: int, before: str | None) -> list[Thread]:
    where: list[str] = ["owner = ?", "deleted_at IS NULL"]
    values: list[str | float] = [owner]
    if before is not None:
        where.append("(updated_at, id) < (?, ?)")
        values += _position(before)
    if search:
        where.append(
            "(title LIKE ? ESCAPE '\\' OR EXISTS (SELECT 1 FROM jobs WHERE jobs.thread_id = threads.id AND "
            "(json_extract(jobs.request, '$.input') LIKE ? ESCAPE '\\' OR jobs.answer LIKE ? ESCAPE '\\')))"
        )
        values += [like(search)] * 3
    sql = f"SELECT * FROM threads WHERE {' AND '.join(where)} ORDER BY updated_at DESC, id DESC LIMIT ?"
    return [rows.thread(row) for row in connection.execute(sql, [*values, limit])]


def _position(cursor: str) -> tuple[float, str]:
    """Returns the time and id of the thread before which a list begins; no cursor of ours begins it at its end."""
    updated_at, _, thread_id = cursor.partition(" ")
    try:
        return float(updated_at), thread_id
    except ValueError:
        return 0.0, ""


def like(words: str) -> str:
    """Returns a LIKE pattern that matches the words literally."""
    escaped = storable(words).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def turns(connection: Connection, thread_id: str) -> list[Job]:
    sql = f"""
        {rows.JOB} WHERE thread_id = ?
        AND NOT EXISTS (SELECT 1 FROM jobs AS newer WHERE newer.root_id = jobs.root_id AND newer.number > jobs.number)
        ORDER BY turn, number
    """
    return [rows.job(row) for row in connection.execute(sql, [thread_id])]


def deleted(connection: Connection) -> list[Thread]:
    sql = """
        SELECT * FROM threads WHERE deleted_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM jobs WHERE jobs.thread_id = threads.id AND jobs.status IN ('queued', 'in_progress'))
    """
    return [rows.thread(row) for row in connection.execute(sql)]


IDLE = """
    deleted_at IS NULL AND updated_at < ? AND NOT EXISTS (
        SELECT 1 FROM jobs WHERE thread_id = threads.id AND (finished_at IS NULL OR finished_at >= ?))
"""


def expired(connection: Connection, before: float, limit: int) -> list[Thread]:
    """Returns threads in which nothing has happened since, the oldest first."""
    sql = f"SELECT * FROM threads WHERE {IDLE} ORDER BY updated_at LIMIT ?"
    return [rows.thread(row) for row in connection.execute(sql, [before, before, limit])]


def is_idle(connection: Connection, thread_id: str, since: float) -> bool:
    sql = f"SELECT 1 FROM threads WHERE id = ? AND {IDLE}"
    return connection.execute(sql, [thread_id, since, since]).fetchone() is not None


def used_files(connection: Connection, user: str, files: Sequence[str], without: str | None) -> set[str]:
    """Returns those files that came with a job of the user outside of that thread. Reads all of the user's jobs."""
    elsewhere = "" if without is None else " AND coalesce(thread_id, '') <> ?"
    sql = f"""SELECT request FROM jobs WHERE "user" = ? AND request LIKE ? ESCAPE '\\'{elsewhere}"""
    used = set()
    for file in files:
        values = [user, like(file)] if without is None else [user, like(file), without]
        found = connection.execute(sql, values)  # the name may also stand in a text
        if any(file in rows.decode_request(row[0]).files for row in found):
            used.add(file)
    return used
