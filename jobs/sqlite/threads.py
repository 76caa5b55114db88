"""Threads inside a transaction: their turns, their titles, finding them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from jobs.encoding import to_stored
from jobs.errors import ThreadNotFound
from jobs.models import Job, JobRequest, Thread, is_thread_id
from jobs.rules import title_of
from jobs.sqlite import rows


def find(connection: sqlite3.Connection, thread_id: str, owner: str | None) -> Thread:
    row = connection.execute("SELECT * FROM threads WHERE id = ? AND deleted_at IS NULL", [thread_id]).fetchone()
    if row is None or (owner is not None and row["owner"] != owner):
        raise ThreadNotFound(thread_id)
    return rows.thread(row)


def next_turn(connection: sqlite3.Connection, request: JobRequest, at: float) -> int:
    """Returns the turn of the new job. Creates its thread if that is new."""
    thread_id = str(request.thread_id)
    row = connection.execute("SELECT owner, deleted_at FROM threads WHERE id = ?", [thread_id]).fetchone()
    if row is None:
        if not is_thread_id(thread_id):
            raise ThreadNotFound(thread_id)
        sql = "INSERT INTO threads (id, owner, title, created_at, updated_at) VALUES (?, ?, ?, ?, ?)"
        connection.execute(sql, [thread_id, request.user, title_of(request), at, at])
        return 1
    if row["owner"] != request.user or row["deleted_at"] is not None:
        raise ThreadNotFound(thread_id)
    connection.execute("UPDATE threads SET updated_at = ? WHERE id = ?", [at, thread_id])
    sql = "SELECT coalesce(max(turn), 0) + 1 FROM jobs WHERE thread_id = ?"
    turn: int = connection.execute(sql, [thread_id]).fetchone()[0]
    return turn


def find_all(
    connection: sqlite3.Connection, owner: str, search: str | None, limit: int, before: str | None
) -> list[Thread]:
    where: list[str] = ["owner = ?", "deleted_at IS NULL"]
    values: list[str] = [owner]
    if before is not None:
        where.append("(updated_at, id) < (CAST(? AS REAL), ?)")
        values += before.split(" ", 1) if " " in before else ["0", ""]
    if search:
        where.append(
            "(title LIKE ? ESCAPE '\\' OR EXISTS (SELECT 1 FROM jobs WHERE jobs.thread_id = threads.id AND "
            "(json_extract(jobs.request, '$.input') LIKE ? ESCAPE '\\' OR jobs.answer LIKE ? ESCAPE '\\')))"
        )
        values += [like(search)] * 3
    sql = f"SELECT * FROM threads WHERE {' AND '.join(where)} ORDER BY updated_at DESC, id DESC LIMIT ?"
    return [rows.thread(row) for row in connection.execute(sql, [*values, limit])]


def like(words: str) -> str:
    """Returns a LIKE pattern that matches the words literally."""
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def turns(connection: sqlite3.Connection, thread_id: str) -> list[Job]:
    sql = """
        SELECT * FROM jobs AS job WHERE thread_id = ?
        AND NOT EXISTS (SELECT 1 FROM jobs AS newer WHERE newer.root_id = job.root_id AND newer.number > job.number)
        ORDER BY turn, number
    """
    return [rows.job(row) for row in connection.execute(sql, [thread_id])]


def deleted(connection: sqlite3.Connection) -> list[Thread]:
    sql = """
        SELECT * FROM threads WHERE deleted_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM jobs WHERE jobs.thread_id = threads.id AND jobs.status IN ('queued', 'in_progress'))
    """
    return [rows.thread(row) for row in connection.execute(sql)]


def used_files(connection: sqlite3.Connection, user: str, files: Sequence[str], without: str | None) -> set[str]:
    """Returns those files that came with a job of the user outside of that thread. Reads all of the user's jobs."""
    sql = """
        SELECT DISTINCT used.value FROM jobs, json_each(jobs.request, '$.files') AS used
        WHERE jobs.user = ? AND (jobs.thread_id IS NULL OR jobs.thread_id IS NOT ?)
        AND used.value IN (SELECT value FROM json_each(?))
    """
    return {row[0] for row in connection.execute(sql, [user, without, to_stored(list(files))])}
