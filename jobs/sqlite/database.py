"""Connections to one SQLite file: a writer thread that commits in groups, and reader threads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jobs.errors import StoreUnavailable
from jobs.sql.connection import Lane, Transaction
from jobs.sql.groups import Request, ValueOrError, Work, answer, next_group, unavailable
from jobs.sql.readers import Readers
from jobs.sqlite.schema import migrate

logger = logging.getLogger(__name__)

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 30
TELL_SECONDS = 2.0
"""A lock of another process is told of in the log when it has lasted so long."""
SHORT_WAIT_SECONDS = 0.001
"""Between two attempts at the lock. SQLite's own pauses grow to 100 ms, and beside a process that writes all the time
the lock is rarely free just when they end: a submit beside a flood took 200 ms."""
SOON_SECONDS = 0.1
"""After so long, the attempts become rarer."""
LONG_WAIT_SECONDS = 0.01
PAGE_BYTES = 2048
"""Of a new database; an existing one keeps its own. A commit of many streams changes a few rows in many pages, and each
page is written whole. With SQLite's 4096, web and worker together spend a tenth more on 50 streams."""
LOG_BYTES = 16_000_000
"""SQLite's log (`-wal`), usually 2 MB, is cut to this when it has grown because of a long read."""
IDLE_SECONDS = 5.0
"""A writer with nothing to do looks so often whether the log is to be cut."""
MAX_GROUP = 500
"""Transactions that share one commit."""


class SqliteConnection(sqlite3.Connection):
    def lock_jobs(self, job_ids: Collection[str], /) -> None:
        """The transaction has locked the whole file."""

    def execute_each(self, query: str, values: Iterable[Sequence[Any]], /) -> Iterator[sqlite3.Row]:
        for one in values:
            yield from self.execute(query, one)


def connect(path: Path) -> SqliteConnection:
    """WAL: readers never wait. NORMAL: commits survive kill -9 of any process; a power cut may lose the last ones."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=SqliteConnection,
    )
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    return connection


class SqliteDatabase:
    """Transactions that wait together are committed together. Only one process writes at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._work: Work = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run_writer, name="sqlite-writer", daemon=True)
        self._readers = Readers("sqlite")
        self._local = threading.local()
        self._opened: list[SqliteConnection] = []
        self._closed = False
        self._locked_at: float | None = None

    def open(self, told: Callable[[bool], None]) -> None:
        self._told = told
        connection = connect(self._path)
        try:
            migrate(connection)
        finally:
            connection.close()
        self._connect()
        self._writer.start()

    def _connect(self) -> None:
        self._connection = connect(self._path)
        self._connection.execute("PRAGMA busy_timeout = 0")  # `_begin` waits

    def close(self) -> None:
        """Finish the pending writes, then close. Later writes fail."""
        self._closed = True
        self._work.put(None)
        self._writer.join()
        self._readers.close()
        for connection in self._opened:
            connection.close()

    def write(self, transaction: Transaction[T]) -> asyncio.Future[T]:
        """Queue a write. Call this on one loop's thread only. Cancelling the future does not undo the write."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._closed:
            done.set_exception(sqlite3.ProgrammingError("the database is closed"))
        else:
            self._work.put(Request(transaction, done))
        return done

    append = write

    def post(self, transaction: Transaction[Any]) -> None:
        """Queue a write from any thread. Its result and its errors are dropped."""
        self._work.put(Request(transaction, None))

    async def read(self, query: Transaction[T], lane: Lane = "short") -> T:
        return await self._readers.read(lane, self._run_reader, query)

    def _run_reader(self, query: Transaction[T]) -> T:
        try:
            connection: SqliteConnection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = connect(self._path)
                connection.execute("PRAGMA query_only = ON")
                self._opened.append(connection)
            return query(connection)
        except sqlite3.Error as error:
            raise StoreUnavailable from error

    def _run_writer(self) -> None:
        stopping = False
        while not stopping:
            group, stopping = next_group(self._work, MAX_GROUP, within=IDLE_SECONDS)
            if group:
                self._commit(group)
            elif not stopping and self._log_bytes() > LOG_BYTES:
                self._cut_log()
        self._connection.close()

    def _commit(self, group: list[Request]) -> None:
        """Run the group in one commit. A transaction that fails is undone alone. Nothing may end the writer thread."""
        try:
            outcomes, committed = self._run_group(group), True
        except Exception as error:  # noqa: BLE001  # disk full, busy for too long, …: none of the group was written
            self._roll_back()
            outcomes, committed = [(None, unavailable(error))] * len(group), False
        self._told(committed)
        answer(group, outcomes)

    def _run_group(self, group: list[Request]) -> list[ValueOrError]:
        self._begin()
        outcomes = [self._attempt(request.transaction) for request in group]
        self._connection.execute("COMMIT")
        return outcomes

    def _log_bytes(self) -> int:
        try:
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size
        except OSError:
            return 0

    def _cut_log(self) -> None:
        """No caller waits for this: slow work needs no lock, and locked work is skipped while others use the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _begin(self) -> None:
        """Wait for the lock of another process, and say so if that takes long."""
        begun = time.monotonic()
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - begun
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or waited >= BUSY_TIMEOUT_SECONDS:
                    raise
            if waited >= TELL_SECONDS and self._locked_at is None:
                self._locked_at = begun
                logger.warning("database locked by another process; waiting")
            time.sleep(SHORT_WAIT_SECONDS if waited < SOON_SECONDS else LONG_WAIT_SECONDS)
        if self._locked_at is not None:
            seconds = round(time.monotonic() - self._locked_at, 1)
            logger.warning("database can be written again", extra={"fields": {"seconds": seconds}})
            self._locked_at = None

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:  # the connection itself is broken
            with contextlib.suppress(sqlite3.Error):
                self._connect()

    def _attempt(self, transaction: Transaction[Any]) -> ValueOrError:
        self._connection.execute("SAVEPOINT one")
        try:
            result = transaction(self._connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001  # goes to the caller through the future
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            return None, error
        self._connection.execute("RELEASE one")
        return result, None
