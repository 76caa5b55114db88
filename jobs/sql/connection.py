"""The database interface of a transaction: SQL that both SQLite and PostgreSQL understand, with `?` for each value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")


class Row(Protocol):
    """A row, by position and by name."""

    def __getitem__(self, key: int | str, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


class Result(Protocol):
    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Row | None: ...

    def fetchall(self) -> Sequence[Row]: ...

    def __iter__(self) -> Iterator[Row]: ...


class Connection(Protocol):
    """A connection inside a transaction."""

    def lock_jobs(self, job_ids: Collection[str], /) -> None:
        """No other transaction changes these jobs or their logs until this one ends; its next statement sees them as
        they are."""

    def execute(self, sql: str, values: Sequence[object] = (), /) -> Result: ...

    def execute_each(self, query: str, values: Iterable[Sequence[str | int]], /) -> Iterable[Row]:
        """Returns what the query finds for each of the values, in its order for each. All have the same types."""

    def executemany(self, sql: str, values: Iterable[Sequence[object]], /) -> object: ...


Transaction = Callable[[Connection], T]

Lane = Literal["short", "long", "search"]
"""`short`: bounded by its limit or by an index, as the reads of followers are. `long`: grows with a job's log or with
the number of jobs. `search`: grows with everything that a user has ever said."""


class Database(Protocol):
    """Runs transactions on separate threads. Raises `StoreUnavailable` when the database fails."""

    def open(self, told: Callable[[bool], None]) -> None:
        """Connect, and bring the tables up to date.

        `told` is called on the writing thread after each commit, with whether it succeeded, before the callers go on;
        it must not raise.
        """

    def close(self) -> None:
        """Finish what waits, then close."""

    def append(self, transaction: Transaction[T]) -> asyncio.Future[T]:
        """Queue a write that locks the rows it changes: it may run beside the writes of other processes."""

    def write(self, transaction: Transaction[T]) -> asyncio.Future[T]:
        """Queue a write that runs alone, of all processes. Both kinds run in the order of the calls if they are of one
        kind. Cancelling the future does not undo the write."""

    def post(self, transaction: Transaction[Any]) -> None:
        """Queue an append from any thread. Its result and its errors are dropped."""

    async def read(self, query: Transaction[T], lane: Lane = "short") -> T:
        """Run a read-only query beside others; those of one lane may wait for each other."""
