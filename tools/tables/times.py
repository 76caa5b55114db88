"""A table over time: rows, and sums or means of some columns, per hour, day, week, month or year."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import duckdb

from tools.tables.database import Database, Table
from tools.tables.names import quoted

Unit = Literal["hour", "day", "week", "month", "year"]
_DAYS: tuple[tuple[float, Unit], ...] = ((3, "hour"), (120, "day"), (1_100, "week"), (11_000, "month"))
_MAX_PERIODS = 2_000
MAX_LINES = 3
"""Number columns that are followed over time."""
_AMOUNT = {
    *("total", "totals", "amount", "amounts", "revenue", "sales", "turnover", "cost", "costs", "spend", "profit"),
    *("betrag", "umsatz", "summe", "gesamt", "kosten"),
}
_RATE = {
    *("per", "unit", "rate", "pct", "percent", "share", "avg", "average", "mean", "median", "score", "rating", "id"),
    *("pro", "je", "anteil", "prozent", "mittel", "schnitt", "quote"),
}
"""Words in the names of columns."""
_WORDS = {"sum": "sum", "avg": "mean"}


@dataclass(frozen=True, kw_only=True)
class Series:
    column: str
    unit: Unit
    places: tuple[str, ...]
    """The start of each period that has rows, as ISO text."""
    rows: tuple[int, ...]
    measures: tuple[tuple[str, tuple[float | None, ...]], ...]
    """Measures of number columns: `sum of total`, `mean of price`."""
    empty: int
    """Number of periods without rows between the first and the last."""


def series(database: Database, table: Table, column: str, numbers: list[str]) -> Series | None:
    """Measures rows over time, the sums of columns that are amounts by their name, and the means of others.

    Returns None when the column has fewer than two different dates. Raises duckdb.Error.
    """
    when = f"CASE WHEN isfinite({quoted(column)}) THEN {quoted(column)}::TIMESTAMP END"
    source = quoted(table.name)
    [(days,)] = database.read(f"SELECT date_diff('day', min({when}), max({when})) FROM {source}")
    [(different,)] = database.read(f"SELECT count(*) FROM (SELECT DISTINCT {when} AS w FROM {source}) WHERE w NOTNULL")
    if days is None or different < 2:
        return None
    unit: Unit = next((unit for limit, unit in _DAYS if days <= limit), "year")
    chosen = _chosen(numbers)
    measures = [
        f"{function}(CASE WHEN isfinite({quoted(name)}::DOUBLE) THEN {quoted(name)}::DOUBLE END)"
        for function, name in chosen
    ]
    start = f"date_trunc('{unit}', {when})"
    rows = None
    with suppress(duckdb.OutOfRangeException):  # the sum is too large
        rows = database.read(_grouped(start, ", ".join(["count(*)", *measures]), source))
    if rows is None:
        chosen, rows = [], database.read(_grouped(start, "count(*)", source))
    [(stretches,)] = database.read(f"SELECT date_diff('{unit}', min({start}), max({start})) + 1 FROM {source}")
    return Series(
        column=column,
        unit=unit,
        places=tuple(row[0] for row in rows),
        rows=tuple(row[1] for row in rows),
        measures=tuple(
            (f"{_WORDS[function]} of {name}", tuple(row[2 + i] for row in rows))
            for i, (function, name) in enumerate(chosen)
        ),
        empty=max(0, stretches - len(rows)),
    )


def _chosen(numbers: list[str]) -> list[tuple[str, str]]:
    """Returns an aggregate function and a column for each line: amounts first."""
    amounts = [name for name in numbers if _is_amount(name)]
    others = [name for name in numbers if name not in amounts]
    return [*(("sum", name) for name in amounts), *(("avg", name) for name in others)][:MAX_LINES]


def _is_amount(name: str) -> bool:
    words = set(re.findall(r"[^\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).casefold()))
    return bool(words & _AMOUNT) and not words & _RATE


def _grouped(start: str, what: str, source: str) -> str:
    return (
        f"SELECT strftime({start}, '%Y-%m-%d %H:%M'), {what} FROM {source} WHERE {start} NOTNULL "
        f"GROUP BY {start} ORDER BY {start} LIMIT {_MAX_PERIODS}"
    )
