"""Rates that all workers share, inside a transaction (the generic cell rate algorithm)."""

from __future__ import annotations

import sqlite3

FORGET_SECONDS = 3600


def reserve(connection: sqlite3.Connection, bucket: str, seconds: float, now: float) -> float:
    """Occupy the bucket for so long; gives the seconds until it begins. A negative length gives back."""
    row = connection.execute("SELECT free_at FROM rates WHERE bucket = ?", [bucket]).fetchone()
    if row is None:
        connection.execute("DELETE FROM rates WHERE free_at < ?", [now - FORGET_SECONDS])
    begins = max(now, row["free_at"]) if row is not None else now
    connection.execute("INSERT OR REPLACE INTO rates (bucket, free_at) VALUES (?, ?)", [bucket, begins + seconds])
    return begins - now
