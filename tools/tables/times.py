"""A table over time: the number of rows and the means of some columns per hour, day, week, month or year."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import duckdb

from tools.tables.database import Database, Table
from tools.tables.names import quoted

Unit = Literal["hour", "day", "week", "month", "year"]
_DAYS: tuple[tuple[float, Unit], ...] = ((3, "hour"), (120, "day"), (1_100, "week"), (11_000, "month"))
_MAX_PERIODS = 2_000


@dataclass(frozen=True, kw_only=True)
class Series:
    column: str
    unit: Unit
    places: tuple[str, ...]
    """The start of each period that has rows, as ISO text."""
    rows: tuple[int, ...]
    means: tuple[tuple[str, tuple[float | None, ...]], ...]
    """The means of number columns, by name."""
    empty: int
    """Number of periods without rows between the first and the last."""


def series(database: Database, table: Table, column: str, numbers: list[str]) -> Series | None:
    """Returns None when the column has fewer than two different dates. Raises duckdb.Error."""
    when = f"CASE WHEN isfinite({quoted(column)}) THEN {quoted(column)}::TIMESTAMP END"
    source = quoted(table.name)
    [(days,)] = database.read(f"SELECT date_diff('day', min({when}), max({when})) FROM {source}")
    [(different,)] = database.read(f"SELECT count(*) FROM (SELECT DISTINCT {when} AS w FROM {source}) WHERE w NOTNULL")
    if days is None or different < 2:
        return None
    unit: Unit = next((unit for limit, unit in _DAYS if days <= limit), "year")
    means = [f"avg(CASE WHEN isfinite({quoted(name)}::DOUBLE) THEN {quoted(name)}::DOUBLE END)" for name in numbers]
    start = f"date_trunc('{unit}', {when})"
    rows = None
    with suppress(duckdb.OutOfRangeException):  # the sum is too large
        rows = database.read(_grouped(start, ", ".join(["count(*)", *means]), source))
    if rows is None:
        numbers, rows = [], database.read(_grouped(start, "count(*)", source))
    [(stretches,)] = database.read(f"SELECT date_diff('{unit}', min({start}), max({start})) + 1 FROM {source}")
    return Series(
        column=column,
        unit=unit,
        places=tuple(row[0] for row in rows),
        rows=tuple(row[1] for row in rows),
        means=tuple((name, tuple(row[2 + i] for row in rows)) for i, name in enumerate(numbers)),
        empty=max(0, stretches - len(rows)),
    )


def _grouped(start: str, what: str, source: str) -> str:
    return (
        f"SELECT strftime({start}, '%Y-%m-%d %H:%M'), {what} FROM {source} WHERE {start} NOTNULL "
        f"GROUP BY {start} ORDER BY {start} LIMIT {_MAX_PERIODS}"
    )
