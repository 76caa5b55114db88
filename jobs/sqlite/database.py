"""Connections to one SQLite file: a writer thread that commits in groups, and reader threads."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Transaction = Callable[[sqlite3.Connection], T]

BUSY_TIMEOUT_SECONDS = 30
READERS = 2
GROUP = 500
"""At most this many transactions share a commit."""


def connect(path: Path) -> sqlite3.Connection:
    """WAL: readers never wait. NORMAL: a commit survives kill -9 of any process; a power cut may lose the last ones."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


class Database:
    """`write` runs in the order of the calls; what waits together is committed together.

    `committed` is called on the writer thread after each commit.
    """

    def __init__(self, path: Path, committed: Callable[[], None]) -> None:
        self._path = path
        self._committed = committed
        self._work: queue.SimpleQueue[tuple[Transaction[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run_writer, name="sqlite-writer", daemon=True)
        self._readers = ThreadPoolExecutor(READERS, "sqlite-reader")
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._closed = False

    def open(self, migrate: Callable[[sqlite3.Connection], None]) -> None:
        self._connection = connect(self._path)
        migrate(self._connection)
        self._writer.start()

    def close(self) -> None:
        """Finish what was asked for, then close. Later writes fail."""
        self._closed = True
        self._work.put(None)
        self._writer.join()
        self._readers.shutdown()
        for connection in self._opened:
            connection.close()

    def write(self, transaction: Transaction[T]) -> Future[T]:
        done: Future[T] = Future()
        if self._closed:
            done.set_exception(sqlite3.ProgrammingError("the database is closed"))
        else:
            self._work.put((transaction, done))
        return done

    async def read(self, query: Transaction[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._run_reader, query)

    def _run_reader(self, query: Transaction[T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path)
            connection.execute("PRAGMA query_only = ON")
            self._opened.append(connection)
        return query(connection)

    def _run_writer(self) -> None:
        stopping = False
        while not stopping:
            group, stopping = self._next_group()
            if group:
                self._commit(group)
        self._connection.close()

    def _next_group(self) -> tuple[list[tuple[Transaction[Any], Future[Any]]], bool]:
        item = self._work.get()
        group: list[tuple[Transaction[Any], Future[Any]]] = []
        while item is not None:
            group.append(item)
            if len(group) == GROUP:
                return group, False
            try:
                item = self._work.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, group: list[tuple[Transaction[Any], Future[Any]]]) -> None:
        """One commit for the group; a transaction that fails is undone alone."""
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for transaction, done in group:
                outcomes.append((done, *self._attempt(transaction)))
            self._connection.execute("COMMIT")
            self._committed()
        except sqlite3.Error as error:  # disk full, busy for too long: nobody's write happened
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            outcomes = [(done, None, error) for _, done in group]
        for done, result, failure in outcomes:
            if done.set_running_or_notify_cancel():
                done.set_result(result) if failure is None else done.set_exception(failure)

    def _attempt(self, transaction: Transaction[Any]) -> tuple[Any, BaseException | None]:
        self._connection.execute("SAVEPOINT one")
        try:
            result = transaction(self._connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001  # handed to the caller by the future
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            return None, error
        self._connection.execute("RELEASE one")
        return result, None
