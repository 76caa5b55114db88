"""Finished tool calls inside a transaction: what estimates are made of."""

from __future__ import annotations

from jobs.estimates import MAX_RUNS, Run
from jobs.sql.connection import Connection


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
