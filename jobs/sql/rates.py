"""Rates that all workers share, inside a transaction."""

from __future__ import annotations

from jobs import rules
from jobs.sql.connection import Connection

FORGET_SECONDS = 3600


def reserve(connection: Connection, bucket: str, seconds: float, now: float) -> float:
    """Occupy the bucket for `seconds`. Returns the seconds until that begins."""
    row = connection.execute("SELECT free_at FROM rates WHERE bucket = ?", [bucket]).fetchone()
    if row is None:
        connection.execute("DELETE FROM rates WHERE free_at < ?", [now - FORGET_SECONDS])
    begins, free_at = rules.reserve(None if row is None else row["free_at"], seconds, now)
    sql = "INSERT INTO rates VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE SET free_at = excluded.free_at"
    connection.execute(sql, [bucket, free_at])
    return begins - now
