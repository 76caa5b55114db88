"""`JobStore` on one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from jobs.models import Limits
from jobs.sql.store import SqlStore
from jobs.sqlite.database import SqliteDatabase
from jobs.transitions import Transitions
from jobs.wake import Wake


class SqliteStore(SqlStore):
    """`async with SqliteStore(path, wake) as store`: opens the file, updates its tables, closes it."""

    def __init__(
        self,
        path: Path,
        wake: Wake,
        *,
        clock: Callable[[], float] = time.time,
        transitions: Transitions | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(SqliteDatabase(path), wake, clock=clock, transitions=transitions, limits=limits)
