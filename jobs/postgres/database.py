"""Transactions on PostgreSQL: one connection appends, one writes alone, a few read (readers.py)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg

from jobs.errors import StoreUnavailable, reason_for_log
from jobs.postgres.connection import PostgresConnection
from jobs.postgres.schema import migrate
from jobs.sql.connection import Lane, Transaction
from jobs.sql.groups import Request, ValueOrError, Work, answer, next_group, unavailable
from jobs.sql.readers import Readers

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_GROUP = 500
"""Appends that share one commit."""
RESOLVE_SECONDS = 30.0
"""How long to ask for the fate of a transaction whose COMMIT was not answered."""
PAUSE_SECONDS = 0.1
IDLE_SECONDS = 2
"""A process that is stopped between two statements of a transaction loses its connection, and its locks, this soon."""
LOCK_SECONDS = 10.0
"""How long a write waits for a lock of another process before it fails, to be sent again."""
ALONE = 0x10_96_4A_01
"""The advisory lock of the transactions that run alone; no other application of the database may use this number."""

BEGIN = """
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL idle_in_transaction_session_timeout = '{idle}s';
    SET LOCAL lock_timeout = '{lock}s';
"""
RUN_ALONE = f"SELECT pg_advisory_xact_lock({ALONE});"
MAX_MARKS = 500
"""Transactions whose numbers are written into one row, before a new one is begun."""
MARK = "UPDATE writers SET last = {number} WHERE id = '{writer}'"


def _new_id() -> str:
    return f"writer_{secrets.token_hex(8)}"


class PostgresDatabase:
    """See `jobs.sql.connection.Database`.

    Writes that run alone (submit, claim, cancel, …) hold one advisory lock, so that their rules see all that others
    decided. Appends, of which there are many more, lock the rows of their jobs only.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._appender = Writer(url, "postgres-appender", begin=BEGIN, group=MAX_GROUP)
        self._writer = Writer(url, "postgres-writer", begin=BEGIN + RUN_ALONE, group=1, behind=self._appender)
        self._readers = Readers("postgres")
        self._local = threading.local()
        self._opened: list[PostgresConnection] = []

    def open(self, told: Callable[[bool], None]) -> None:
        """Raises `StoreUnavailable`, with the server's reason as its cause."""
        try:
            with contextlib.closing(PostgresConnection(self._url)) as connection:
                migrate(connection.raw)
        except psycopg.Error as error:
            raise StoreUnavailable from error
        self._appender.open(told)
        self._writer.open(told)

    def close(self) -> None:
        self._appender.close()
        self._writer.close()
        self._readers.close()
        for connection in self._opened:
            connection.close()

    def append(self, transaction: Transaction[T]) -> asyncio.Future[T]:
        return self._appender.put(transaction)

    def write(self, transaction: Transaction[T]) -> asyncio.Future[T]:
        return self._writer.put(transaction)

    def post(self, transaction: Transaction[Any]) -> None:
        self._appender.post(transaction)

    async def read(self, query: Transaction[T], lane: Lane = "short") -> T:
        return await self._readers.read(lane, self._run_reader, query)

    def _run_reader(self, query: Transaction[T]) -> T:
        try:
            connection = self._reading()
            try:
                return query(connection)
            except psycopg.OperationalError:
                if not connection.broken:
                    raise
                return query(self._reading())  # the server has restarted, say; a read may be repeated
        except psycopg.Error as error:
            raise StoreUnavailable from error

    def _reading(self) -> PostgresConnection:
        connection: PostgresConnection | None = getattr(self._local, "connection", None)
        if connection is None or connection.broken:
            connection = self._local.connection = PostgresConnection(self._url)
            self._opened.append(connection)
        return connection


class Writer:
    """A thread with one connection. `put` runs transactions in the order of the calls.

    Each transaction also writes its number into the writer's own row, by which it is found when the answer to its
    COMMIT is lost. (A transaction id cannot serve: a server that crashed may give it to another transaction.)
    """

    def __init__(self, url: str, name: str, *, begin: str, group: int, behind: Writer | None = None) -> None:
        """`begin` starts a transaction; up to `group` waiting ones share a commit.

        A transaction waits for those that were put into `behind` before it.
        """
        self._url = url
        self._begin = begin
        self._group = group
        self._behind = behind
        self._id = _new_id()
        self._number = 0
        self._work: Work = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._connection: PostgresConnection | None = None
        self._closed = False
        self._accepted = 0
        self._done = 0
        self._progress = threading.Condition()

    def open(self, told: Callable[[bool], None]) -> None:
        self._told = told
        self._thread.start()

    def wait_until_done(self) -> None:
        """Wait until the transactions queued so far were committed or have failed, or the thread has ended."""
        with self._progress:
            queued = self._accepted
            self._progress.wait_for(lambda: self._done >= queued or self._ended)

    @property
    def _ended(self) -> bool:
        return self._closed and not self._thread.is_alive()

    def close(self) -> None:
        """Finish what waits. Later transactions fail."""
        with self._progress:
            self._closed = True
            self._work.put(None)
        if self._thread.is_alive():
            self._thread.join()
        with self._progress:
            self._progress.notify_all()

    def put(self, transaction: Transaction[T]) -> asyncio.Future[T]:
        """Call this on one loop's thread only."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not self._accept(Request(transaction, done)):
            done.set_exception(StoreUnavailable())
        return done

    def post(self, transaction: Transaction[Any]) -> None:
        """Call this on any thread. The result and errors are dropped."""
        self._accept(Request(transaction, None))

    def _accept(self, request: Request) -> bool:
        with self._progress:
            if not self._closed:
                self._accepted += 1
                self._work.put(request)
            return not self._closed

    def _run(self) -> None:
        stopping = False
        while not stopping:
            group, stopping = next_group(self._work, self._group)
            if self._behind is not None:
                self._behind.wait_until_done()
            try:
                if group:
                    self._commit(group)
            finally:
                with self._progress:
                    self._done += len(group)
                    self._progress.notify_all()
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("DELETE FROM writers WHERE id = ?", [self._id])
            self._connection.close()

    def _commit(self, group: list[Request]) -> None:
        """Run the group in one transaction. Nothing may end the thread."""
        committed = False
        try:
            values = self._run_group([request.transaction for request in group])
            outcomes: list[ValueOrError] = [(value, None) for value in values]
            committed = True
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:  # the database failed, for all of them
            outcomes = [(None, unavailable(error))] * len(group)
        except Exception as refusal:  # noqa: BLE001  # goes to the caller through the future
            if len(group) > 1:  # one of them is refused; the others are not
                self._told(False)
                for request in group:
                    self._commit([request])
                return
            outcomes = [(None, unavailable(refusal) if isinstance(refusal, psycopg.Error) else refusal)]
        self._told(committed)
        answer(group, outcomes)

    def _run_group(self, transactions: Sequence[Transaction[Any]]) -> list[Any]:
        try:
            return self._run_once(transactions)
        except psycopg.errors.DeadlockDetected:  # the other one goes on
            self._told(False)
            return self._run_once(transactions)

    def _run_once(self, transactions: Sequence[Transaction[Any]]) -> list[Any]:
        connection = self._connected()
        try:
            self._begun(connection)
        except psycopg.OperationalError:
            if not connection.broken:
                raise
            connection = self._connected()  # the server has restarted, say; nothing was written yet
            self._begun(connection)
        try:
            values = [transaction(connection) for transaction in transactions]
        except BaseException:
            self._roll_back(connection)
            raise
        try:
            connection.raw.execute("COMMIT")
        except psycopg.OperationalError as error:
            connection.close()
            if not self._was_committed():
                raise
            fields = {"problem": reason_for_log(error) or type(error).__name__}
            logger.warning("commit not answered, but done", extra={"fields": fields})
        return values

    def _connected(self) -> PostgresConnection:
        if self._connection is None or self._connection.broken:
            self._connection = PostgresConnection(self._url)
            sql = "INSERT INTO writers (id, last) VALUES (?, ?) ON CONFLICT (id) DO NOTHING"
            self._connection.execute(sql, [self._id, self._number])
        return self._connection

    def _begin_row(self, connection: PostgresConnection) -> None:
        """Under an old snapshot, such as that of a dump, a row is found behind all its earlier versions."""
        new = _new_id()
        connection.execute("INSERT INTO writers (id, last) VALUES (?, 0)", [new])
        connection.execute("DELETE FROM writers WHERE id = ?", [self._id])
        self._id = new

    def _begun(self, connection: PostgresConnection) -> None:
        """Begins the transaction with the next number."""
        self._number += 1
        if self._number % MAX_MARKS == 0:
            self._begin_row(connection)
        begin = self._begin.format(idle=IDLE_SECONDS, lock=LOCK_SECONDS)
        try:
            connection.raw.execute(begin + MARK.format(number=self._number, writer=self._id))
        except psycopg.Error:
            self._roll_back(connection)
            raise

    def _roll_back(self, connection: PostgresConnection) -> None:
        try:
            connection.raw.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()

    def _was_committed(self) -> bool:
        """Looks for the transaction whose COMMIT was not answered. Raises `OperationalError` if its state is unknown.

        Locking the row waits for the transaction's own end, if the server still works at it.
        """
        give_up_at = time.monotonic() + RESOLVE_SECONDS
        sql = "SELECT last FROM writers WHERE id = ? FOR UPDATE"
        while True:
            try:
                [row] = self._connected().execute(sql, [self._id])
                return bool(row[0] == self._number)
            except psycopg.OperationalError:
                if time.monotonic() > give_up_at:
                    raise
            time.sleep(PAUSE_SECONDS)
