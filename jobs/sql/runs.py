"""Finished tool calls inside a transaction: what estimates are made of."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.estimates import MAX_RUNS, Place, Range, Run, names_in, starts_in
from jobs.sql.connection import Connection

MAX_LINE = 500
"""The most jobs that an estimate takes into account; those further back get none."""


def add(connection: Connection, run: Run) -> None:
    """Keep it, and forget the oldest of this tool."""
    sql = "INSERT INTO runs (name, unit, unit_seconds, silence_seconds) VALUES (?, ?, ?, ?)"
    connection.execute(sql, [run.name, run.unit, run.unit_seconds, run.silence_seconds])
    old = "SELECT number FROM runs WHERE name = ? ORDER BY number DESC LIMIT 1 OFFSET ?"
    connection.execute(f"DELETE FROM runs WHERE name = ? AND number <= ({old})", [run.name, run.name, MAX_RUNS])


def find(connection: Connection, name: str) -> list[Run]:
    sql = "SELECT unit, unit_seconds, silence_seconds FROM runs WHERE name = ? ORDER BY number"
    return [
        Run(name=name, unit=row[0], unit_seconds=row[1], silence_seconds=row[2])
        for row in connection.execute(sql, [name])
    ]


def waits(connection: Connection, ids: Iterable[str], now: float) -> dict[str, Range]:
    """Returns how long those of the jobs that are queued may still wait, if that can be told."""
    line: list[Place] = []
    for status, since in (("in_progress", "started_at"), ("queued", "NULL")):
        # The status as a word: with a parameter, SQLite cannot know that its index of unfinished jobs will do.
        sql = f"""
            SELECT id, task, thread_id, {since} FROM jobs WHERE status = '{status}' ORDER BY priority, number LIMIT ?
        """
        found = connection.execute(sql, [MAX_LINE - len(line)])
        line += [Place(id=row[0], task=row[1], thread_id=row[2], started_at=row[3]) for row in found]
    wanted, past = set(ids), {name: find(connection, name) for name in names_in(line)}
    return {job_id: wait for job_id, wait in starts_in(line, past, now).items() if job_id in wanted}
