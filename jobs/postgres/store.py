"""`JobStore` on a PostgreSQL database."""

from __future__ import annotations

import time
from collections.abc import Callable

from jobs.models import Limits
from jobs.postgres.database import PostgresDatabase
from jobs.sql.store import SqlStore
from jobs.transitions import Transitions
from jobs.wake import Wake


class PostgresStore(SqlStore):
    """`async with PostgresStore(url, wake) as store`: connects, updates the tables, closes the connections.

    `url` is a connection string of libpq, such as `postgresql://user:password@host/database`.
    """

    def __init__(
        self,
        url: str,
        wake: Wake,
        *,
        clock: Callable[[], float] = time.time,
        transitions: Transitions | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(PostgresDatabase(url), wake, clock=clock, transitions=transitions, limits=limits)
