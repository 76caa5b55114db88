"""Measures a table column by column, in the database, with one small statement at a time."""

import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import duckdb

from tools.tables.database import Column, Database, Table
from tools.tables.names import quoted
from tools.tables.types import Kind, in_words, is_float, is_whole, kind_of

EXACT_ROWS = 5_000_000
"""Up to this many rows, values and quartiles are exact; above, they are estimated to about 2 % in constant memory."""

FEW = 10
"""A column of fewer different numbers is a scale or a set of prices, and has no outliers."""

BINS = 30
TOP = 10
_FENCE = 1.5
"""Multiple of the interquartile range, after Tukey."""
_MAX_VALUE = 60
_MIN_CELLS = 20
"""Minimum cells of a column that may be an identifier."""
_MAX_GAP = 3
"""Maximum mean gap between the numbers of an identifier."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Measurements of the finite values of a number column."""

    minimum: float
    maximum: float
    mean: float | None
    """None: the sum is too large."""
    deviation: float | None
    """The sample standard deviation."""
    quartiles: tuple[float, float, float]
    fences: tuple[float, float]
    """Values outside these are outliers."""
    low: int
    """Number of outliers below the fences."""
    high: int
    """Number of outliers above the fences."""
    zeros: int
    edges: tuple[float, ...] = ()
    """Edges of the histogram, at most twice as far out as the fences."""
    counts: tuple[int, ...] = ()

    @property
    def outliers(self) -> int:
        return self.low + self.high


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Measurements of one column."""

    name: str
    type: str
    """The SQL type."""
    rows: int
    repeated: int
    """Duplicate rows of the table."""
    missing: int
    distinct: int
    exact: bool
    """Whether `distinct` was counted exactly and not estimated."""
    numbers: Numbers | None = None
    span: tuple[str, str] | None = None
    """The first and last date of a column of dates."""
    top: tuple[tuple[str, int], ...] = field(default=())
    """The most frequent values and their counts."""
    blank: int = 0
    """Text cells with only spaces."""
    spellings: int = 0
    """Text values that differ from another only in capitals or outer spaces."""

    @property
    def kind(self) -> Kind:
        return kind_of(self.type)

    @property
    def words(self) -> str:
        return in_words(self.type)

    @property
    def filled(self) -> int:
        return self.rows - self.missing

    @property
    def constant(self) -> bool:
        return self.filled > 1 and self.distinct == 1

    @property
    def identifier(self) -> bool:
        """Whether each value occurs once, except in duplicate rows: outliers of such a key mean nothing."""
        if not self.exact or self.filled < _MIN_CELLS or self.distinct < self.filled - self.repeated:
            return False
        if self.numbers is None:
            return self.kind == "text"
        # An identifier is sequential with few gaps, unlike a measurement whose values happen to differ.
        dense = self.numbers.maximum - self.numbers.minimum < _MAX_GAP * self.distinct
        return is_whole(self.type) and dense


def duplicates(database: Database, table: Table) -> int:
    """Counts rows that equal an earlier one in every cell, compared by a 64-bit hash."""
    name = quoted(table.name)
    sql = f"SELECT count(*) AS n FROM (SELECT hash({name}) AS h FROM {name}) GROUP BY h HAVING count(*) > 1"
    [(count,)] = database.read(f"SELECT coalesce(sum(n - 1), 0)::BIGINT FROM ({sql})")
    return int(count)


def profile(database: Database, table: Table, column: Column, repeated: int) -> Profile:
    """Measures one column. Raises duckdb.Error."""
    cells = _Cells(database, table, column)
    kind = kind_of(column.type)
    exact = table.rows <= EXACT_ROWS
    filled, distinct = cells.one(f"count({cells.value}), {cells.distinct(exact)}")
    found: dict[str, Any] = {}
    if kind == "number":
        found["numbers"] = _numbers(cells, column, exact, distinct)
    elif kind == "date" and filled:
        found["span"] = cells.one(f"min({cells.raw})::VARCHAR, max({cells.raw})::VARCHAR")
    elif kind == "text" and filled:
        found["blank"], found["spellings"] = _spelling(cells, exact)
    if kind in ("text", "yes/no") and distinct < filled:
        found["top"] = cells.top()
    return Profile(
        name=column.name,
        type=column.type,
        rows=table.rows,
        repeated=repeated,
        missing=table.rows - filled,
        distinct=min(distinct, filled),
        exact=exact,
        **found,
    )


class _Cells:
    """Statements on one column. `raw` is the column, `value` a comparable form of it."""

    def __init__(self, database: Database, table: Table, column: Column) -> None:
        self._database = database
        self._table = quoted(table.name)
        self.raw = quoted(column.name)
        self.value = f"{self.raw}::VARCHAR" if kind_of(column.type) == "other" else self.raw
        if is_float(column.type):
            self.value = f"CASE WHEN NOT isnan({self.raw}) THEN {self.raw} END"

    def distinct(self, exact: bool) -> str:
        return f"count(DISTINCT {self.value})" if exact else f"approx_count_distinct({self.value})"

    def one(self, expressions: str) -> tuple[Any, ...]:
        [row] = self._database.read(f"SELECT {expressions} FROM {self._table}")
        return row

    def all(self, statement: str) -> list[tuple[Any, ...]]:
        return self._database.read(statement.format(table=self._table))

    def top(self) -> tuple[tuple[str, int], ...]:
        value = f"left(regexp_replace({self.raw}::VARCHAR, '\\s+', ' ', 'g'), {_MAX_VALUE})"
        sql = f"SELECT {value} AS v, count(*) AS n FROM {self._table} WHERE {self.raw} IS NOT NULL GROUP BY v"
        rows = self._database.read(f"{sql} ORDER BY n DESC, v LIMIT {TOP}")
        return tuple((str(value), int(count)) for value, count in rows)


def _spelling(cells: _Cells, exact: bool) -> tuple[int, int]:
    text = f"{cells.raw}::VARCHAR"
    [blank] = cells.one(f"count(*) FILTER (trim({text}) = '')")
    if not exact:
        return blank, 0
    different, alike = cells.one(f"count(DISTINCT {text}), count(DISTINCT lower(trim({text})))")
    return blank, different - alike


def _numbers(cells: _Cells, column: Column, exact: bool, distinct: int) -> Numbers | None:
    """Returns None when there is no finite value."""
    x = f"{cells.raw}::DOUBLE"
    if is_float(column.type):
        x = f"CASE WHEN isfinite({cells.raw}) THEN {x} END"
    quantiles = "quantile_cont" if exact else "approx_quantile"
    low, high, quartiles, zeros = cells.one(
        f"min({x}), max({x}), {quantiles}({x}, [0.25, 0.5, 0.75]), count(*) FILTER ({x} = 0)"
    )
    if low is None:
        return None
    q1, median, q3 = (float(value) for value in quartiles)
    reach = _FENCE * (q3 - q1)
    fences = (q1 - reach, q3 + reach)
    below, above = cells.one(
        f"count(*) FILTER ({x} < {fences[0]!r}::DOUBLE), count(*) FILTER ({x} > {fences[1]!r}::DOUBLE)"
    )
    # In ratings, or if half of the values are equal, every rare value would be an outlier.
    if distinct < FEW or reach <= 0 or not math.isfinite(reach):
        below = above = 0
    mean = deviation = None
    with suppress(duckdb.OutOfRangeException):
        mean, deviation = cells.one(f"avg({x}), stddev_samp({x})")
    edges, counts = _histogram(cells, x, low, high, fences, reach)
    return Numbers(
        minimum=low,
        maximum=high,
        mean=_finite(mean),
        deviation=_finite(deviation),
        quartiles=(q1, median, q3),
        fences=fences,
        low=below,
        high=above,
        zeros=zeros,
        edges=edges,
        counts=counts,
    )


def _histogram(
    cells: _Cells, x: str, low: float, high: float, fences: tuple[float, float], reach: float
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Returns equal bins. Leaves out values far outside the fences, which would push all others into one bin."""
    start, end = (max(low, fences[0] - reach), min(high, fences[1] + reach)) if reach > 0 else (low, high)
    width = (end - start) / BINS
    if not math.isfinite(width) or width <= 0 or start + width == start:
        return (), ()
    place = f"least({BINS - 1}, floor(({x} - {start!r}::DOUBLE) / {width!r}::DOUBLE))::INTEGER"
    rows = cells.all(
        f"SELECT {place} AS bin, count(*) FROM {{table}} WHERE {x} BETWEEN {start!r}::DOUBLE AND {end!r}::DOUBLE "
        "GROUP BY bin"
    )
    found = {int(place): int(count) for place, count in rows}
    return tuple(start + i * width for i in range(BINS + 1)), tuple(found.get(i, 0) for i in range(BINS))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def correlations(database: Database, table: Table, names: list[str]) -> list[list[float | None]]:
    """Returns Pearson's r of every pair, over rows in which both are finite; None where it is undefined."""
    finite = [f"CASE WHEN isfinite({quoted(name)}::DOUBLE) THEN {quoted(name)}::DOUBLE END" for name in names]
    matrix: list[list[float | None]] = [[1.0 if i == j else None for j in range(len(names))] for i in range(len(names))]
    for i in range(len(names)):
        pairs = ", ".join(f"corr({finite[i]}, {finite[j]})" for j in range(i))
        if not pairs:
            continue
        with suppress(duckdb.OutOfRangeException):
            [row] = database.read(f"SELECT {pairs} FROM {quoted(table.name)}")
            for j, value in enumerate(row):
                value = _finite(value)
                matrix[i][j] = matrix[j][i] = None if value is None else round(max(-1.0, min(1.0, value)), 4)
    return matrix
