"""A connection to PostgreSQL that takes the SQL of `jobs/sql/`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, LiteralString

import psycopg

APPLICATION = "longhaul"
NETWORK: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that disappears from the network is noticed in about ten seconds instead of a quarter of an hour."""


TYPES = {str: "text", int: "bigint"}
MAX_ROWS = 1_000
"""Rows of one INSERT. The protocol allows 65,535 values."""


class NamedRow:
    """A row, by position and by name."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: Mapping[str, int], values: Sequence[Any]) -> None:
        self._names = names
        self._values = values

    def __getitem__(self, key: int | str) -> Any:
        return self._values[key if isinstance(key, int) else self._names[key]]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


def named_rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], NamedRow]:
    """psycopg's row factory."""
    names = {column.name: index for index, column in enumerate(cursor.description or ())}
    return lambda values: NamedRow(names, values)


@lru_cache
def translated(sql: str) -> LiteralString:
    """Returns the statement with psycopg's placeholders; `LIKE` ignores case, as it does in SQLite."""
    return sql.replace("%", "%%").replace("?", "%s").replace(" LIKE ", " ILIKE ")


@lru_cache
def _for_each(query: str, types: Sequence[str]) -> LiteralString:
    """Returns the query over arrays, one for each of its placeholders."""
    names = [f"given_{number}" for number in range(len(types))]
    arrays = ", ".join(f"%s::{type_}[]" for type_ in types)
    head, *parts = query.replace("%", "%%").split("?")
    inner = head + "".join(f"given.{name}{part}" for name, part in zip(names, parts, strict=True))
    return f"SELECT found.* FROM unnest({arrays}) AS given({', '.join(names)}), LATERAL ({inner}) AS found"


@lru_cache
def _of_rows(sql: str, count: int) -> LiteralString:
    """Returns the INSERT of one row for that many."""
    head, values, row = translated(sql).rpartition(" VALUES ")
    return head + values + ", ".join([row] * count)


def connect(url: str) -> psycopg.Connection[Any]:
    """Raises `psycopg.OperationalError`. Transactions begin with an explicit BEGIN.

    Statements are not prepared: behind a pooler, the next transaction may run on a connection that does not know them.
    """
    return psycopg.connect(url, autocommit=True, prepare_threshold=None, application_name=APPLICATION, **NETWORK)


def _storable(value: object) -> object:
    """PostgreSQL refuses NUL in text, such as in the id of a request; nothing is stored under the character instead."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


class PostgresConnection:
    """See `jobs.sql.connection.Connection`."""

    def __init__(self, url: str) -> None:
        """Raises `psycopg.OperationalError`."""
        self.raw = connect(url)
        self.raw.row_factory = named_rows

    def execute(self, sql: str, values: Sequence[object] = (), /) -> psycopg.Cursor[NamedRow]:
        return self.raw.execute(translated(sql), [_storable(value) for value in values])

    def lock_jobs(self, job_ids: Collection[str], /) -> None:
        """In one order, so that two groups hardly ever wait for each other."""
        ids = [_storable(job_id) for job_id in job_ids]
        self.raw.execute("SELECT 1 FROM jobs WHERE id = ANY(%s) ORDER BY id FOR UPDATE", [ids])

    def execute_each(self, query: str, values: Iterable[Sequence[str | int]], /) -> Iterable[NamedRow]:
        """Runs the query for all values in one statement: each statement would wait for the network."""
        if len(given := list(values)) < 2:
            return [row for one in given for row in self.execute(query, one)]
        columns = [[_storable(value) for value in column] for column in zip(*given, strict=True)]
        types = tuple(TYPES[type(column[0])] for column in columns)
        return self.raw.execute(_for_each(query, types), columns)

    def executemany(self, sql: str, values: Iterable[Sequence[object]], /) -> None:
        rows = list(values)
        if len(rows) > 1 and sql.endswith(")") and " VALUES (" in sql:
            self._insert(sql, rows)
        elif rows:
            with self.raw.cursor() as cursor:
                cursor.executemany(translated(sql), rows)

    def _insert(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Inserts the rows in as few statements as possible: each costs the server as much as twenty rows."""
        for start in range(0, len(rows), MAX_ROWS):
            some = rows[start : start + MAX_ROWS]
            self.raw.execute(_of_rows(sql, len(some)), [value for row in some for value in row])

    @property
    def broken(self) -> bool:
        return self.raw.closed

    def close(self) -> None:
        self.raw.close()
