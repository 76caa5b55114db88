"""Rates that all workers share, inside a transaction."""

from __future__ import annotations

from jobs import rules
from jobs.sql.connection import Connection

FORGET_SECONDS = 3600
CLOCK = "clock"
"""Not a bucket: the latest time at which one was asked for."""
SET_BACK_SECONDS = 60.0
"""Clocks of several machines may differ by less. One that shows an earlier time by more was set back."""
SET = "INSERT INTO rates (bucket, free_at) VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE SET free_at = excluded.free_at"


def reserve(connection: Connection, bucket: str, seconds: float, now: float) -> float:
    """Occupy the bucket for `seconds`. Returns the seconds until that begins."""
    _follow_clock(connection, now)
    free_at = _time_of(connection, bucket)
    if free_at is None:
        connection.execute("DELETE FROM rates WHERE free_at < ? AND bucket <> ?", [now - FORGET_SECONDS, CLOCK])
    begins, free_at = rules.reserve(free_at, seconds, now)
    connection.execute(SET, [bucket, free_at])
    return begins - now


def _follow_clock(connection: Connection, now: float) -> None:
    """Reservations move along with a clock that is set back: they would have to be waited for all the time between."""
    latest = _time_of(connection, CLOCK)
    if latest is not None and now < latest - SET_BACK_SECONDS:
        connection.execute("UPDATE rates SET free_at = free_at - ? WHERE bucket <> ?", [latest - now, CLOCK])
        latest = None
    if latest is None or now > latest:
        connection.execute(SET, [CLOCK, now])


def _time_of(connection: Connection, bucket: str) -> float | None:
    row = connection.execute("SELECT free_at FROM rates WHERE bucket = ?", [bucket]).fetchone()
    return None if row is None else float(row["free_at"])
