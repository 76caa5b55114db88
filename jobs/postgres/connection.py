"""A connection to PostgreSQL that takes the SQL of `jobs/sql/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

    for_update = " FOR UPDATE"

    def __init__(self, url: str) -> None:
        """Raises `psycopg.OperationalError`."""
        self.raw = connect(url)
        self.raw.row_factory = named_rows

    def execute(self, sql: str, values: Sequence[object] = (), /) -> psycopg.Cursor[NamedRow]:
        return self.raw.execute(translated(sql), [_storable(value) for value in values])

    def executemany(self, sql: str, values: Iterable[Sequence[object]], /) -> None:
        if rows := list(values):
            with self.raw.cursor() as cursor:
                cursor.executemany(translated(sql), rows)

    @property
    def broken(self) -> bool:
        return self.raw.closed

    def close(self) -> None:
        self.raw.close()
