"""Rates that all workers share, inside a transaction."""

from __future__ import annotations

import sqlite3

from jobs import rules

FORGET_SECONDS = 3600


def reserve(connection: sqlite3.Connection, bucket: str, seconds: float, now: float) -> float:
    """Occupy the bucket for `seconds`. Returns the seconds until that begins."""
    row = connection.execute("SELECT free_at FROM rates WHERE bucket = ?", [bucket]).fetchone()
    if row is None:
        connection.execute("DELETE FROM rates WHERE free_at < ?", [now - FORGET_SECONDS])
    begins, free_at = rules.reserve(row and row["free_at"], seconds, now)
    connection.execute("INSERT OR REPLACE INTO rates (bucket, free_at) VALUES (?, ?)", [bucket, free_at])
    return begins - now
