"""The tool that analyses a table: findings, charts, a report."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import duckdb
from pydantic import Field

from toolkit import ToolContext, ToolError, UploadedFile, tool
from tools.tables import READABLE, Database, Table, charts, looks_like_table
from tools.tables.findings import Facts, findings
from tools.tables.profile import EXACT_ROWS, FEW, Numbers, Profile, correlations, duplicates, profile
from tools.tables.report import report
from tools.tables.times import Series, series
from tools.tables.types import is_whole, kind_of
from tools.tables.wording import code, count_of, number, shortened

MAX_CORRELATED = 20
"""Maximum columns of the matrix: the first number columns."""
MAX_PANELS = 9
"""Maximum small charts in one figure."""
MAX_VALUE_COLUMNS = 30
"""Maximum columns in the value; the column overview has all."""
_MAX_NAME = 60
_OVERVIEW = (
    *("column", "type", "filled", "missing", "missing %", "distinct", "min", "quartile 1", "median", "quartile 3"),
    *("max", "mean", "standard deviation", "outliers", "most frequent"),
)


@tool(run_in="process", memory_mb=2_500, timeout_seconds=3_600)
def analyze_table(
    ctx: ToolContext,
    table: UploadedFile | None = None,
    date_column: Annotated[str, Field(max_length=500)] = "",
    sheet: Annotated[str, Field(max_length=200)] = "",
) -> dict[str, Any]:
    """Analyse a CSV, Excel or Parquet file: types, missing values, duplicates, outliers, correlations, charts, report.

    Args:
        table: The file to analyse; by default the newest table of this conversation.
        date_column: The column of dates for charts over time; by default the first with dates.
        sheet: The sheet of an Excel file; by default the first that is not empty.
    """
    file = table or _newest(ctx)
    ctx.report_progress(0, None, f"Reading {file.name}")
    try:
        with Database(ctx.scratch) as database:
            loaded = database.load(file.path, file.name, "analysed", sheet=sheet)
            database.lock()
            return _Analysis(ctx, database, loaded, date_column).run()
    except duckdb.OutOfMemoryException as error:
        raise ToolError(
            f"{file.name!r} is too large to be analysed here. Send only some of its rows or columns."
        ) from error
    except duckdb.Error as error:
        raise ToolError(f"{file.name!r} holds values that cannot be measured. Save it as CSV and send that.") from error


def _newest(ctx: ToolContext) -> UploadedFile:
    tables = [file for file in ctx.files if looks_like_table(file.name)]
    if not tables:
        raise ToolError(f"There is no table to analyse. Attach one first: {READABLE} can be read.")
    return tables[-1]


class _Analysis:
    """One loaded table: measured in stages, then reported."""

    def __init__(self, ctx: ToolContext, database: Database, table: Table, date_column: str) -> None:
        self._ctx = ctx
        self._database = database
        self._table = table
        self._stages = len(table.columns) + 4
        self._done = 0
        self._date = self._date_column(date_column)

    def run(self) -> dict[str, Any]:
        for remark in self._table.remarks:
            self._ctx.log("warning", remark)
        facts = self._measure()
        self._tell("Drawing the charts")
        sentences = findings(facts)
        figures = _figures(facts)
        for name, figure in figures.items():
            self._save(f"{name}.plotly.json", figure)
        overview = [_overview(one) for one in facts.profiles]
        shown = [[shortened(cell, 200) if isinstance(cell, str) else cell for cell in row] for row in overview]
        self._save("columns.table.json", {"columns": _OVERVIEW, "index": list(range(1, len(shown) + 1)), "data": shown})
        self._tell("Writing the report")
        self._write_report(facts, sentences, list(figures.values()), overview)
        self._ctx.report_progress(self._stages, self._stages, "Analysed")
        return self._value(facts, sentences, list(figures))

    def _measure(self) -> Facts:
        self._tell("Looking for duplicate rows")
        repeated = duplicates(self._database, self._table)
        profiles = []
        for column in self._table.columns:
            self._tell(f"Measuring {shortened(column.name, _MAX_NAME)}")
            profiles.append(profile(self._database, self._table, column, repeated))
        self._tell("Comparing the columns")
        measured = [one.name for one in profiles if _worth_comparing(one)][:MAX_CORRELATED]
        matrix = correlations(self._database, self._table, measured) if len(measured) > 1 else []
        along = None
        if self._date is not None:
            along = series(self._database, self._table, self._date, measured)
        return Facts(
            rows=self._table.rows,
            duplicates=repeated,
            profiles=tuple(profiles),
            correlated=tuple(measured) if matrix else (),
            matrix=tuple(tuple(row) for row in matrix),
            series=along,
        )

    def _date_column(self, wanted: str) -> str | None:
        """Returns the column of dates. Raises ToolError when `wanted` does not exist or has no dates."""
        dated = [column.name for column in self._table.columns if kind_of(column.type) == "date"]
        if not wanted:
            return dated[0] if dated else None
        known = {column.name.casefold(): column for column in self._table.columns}
        column = known.get(wanted.strip().casefold())
        name = self._table.file_name
        if column is None:
            names = ", ".join(repr(one.name) for one in self._table.columns[:30])
            raise ToolError(f"{name!r} has no column {wanted!r}. Its columns are {names}.")
        if column.name not in dated:
            others = f" These do: {', '.join(map(repr, dated[:10]))}." if dated else " No column of it does."
            raise ToolError(f"The column {column.name!r} of {name!r} does not hold dates only.{others}")
        return column.name

    def _write_report(
        self, facts: Facts, sentences: list[str], figures: list[charts.Figure], overview: list[list[Any]]
    ) -> None:
        path = self._ctx.scratch / "report.html"
        text = report(
            title=f"{self._table.file_name}: {count_of(facts.rows, 'row')}, {count_of(len(facts.profiles), 'column')}",
            findings=sentences,
            figures=figures,
            columns=_OVERVIEW,
            rows=[
                [number(cell) if isinstance(cell, float) else "" if cell is None else str(cell) for cell in row]
                for row in overview
            ],
            notes=[*self._table.remarks, *_notes(facts)],
        )
        path.write_text(text, encoding="utf-8", errors="replace")
        self._ctx.save_artifact("report.html", path)

    def _value(self, facts: Facts, sentences: list[str], drawn: list[str]) -> dict[str, Any]:
        head = (
            f"**{code(self._table.file_name)}**: {count_of(facts.rows, 'row')}, "
            f"{count_of(len(facts.profiles), 'column')}, {count_of(facts.duplicates, 'duplicate row')}."
        )
        kinds = ", ".join(f"{code(one.name)} ({one.words})" for one in facts.profiles[:MAX_VALUE_COLUMNS])
        more = len(facts.profiles) - MAX_VALUE_COLUMNS
        columns = f"Columns: {kinds}{f' and {more:,} more' if more > 0 else ''}."
        listed = "\n".join(f"- {sentence}" for sentence in [*sentences, *self._table.remarks])
        notes = f"Measured: {' '.join(_notes(facts))}"
        return {
            "summary": f"{head}\n\n{columns}\n\n**Findings**\n\n{listed}\n\n{notes}",
            "file": self._table.file_name,
            "rows": facts.rows,
            "duplicate_rows": facts.duplicates,
            "columns": [_short_facts(one) for one in facts.profiles[:MAX_VALUE_COLUMNS]],
            "columns_left_out": max(0, more),
            "correlations": [{"columns": [a[:_MAX_NAME], b[:_MAX_NAME]], "r": r} for a, b, r in facts.pairs()[:15]],
            "over_time": _over_time(facts.series),
            "charts": drawn,
            "remarks": list(self._table.remarks),
        }

    def _tell(self, message: str) -> None:
        self._ctx.report_progress(self._done, self._stages, message)
        self._done += 1

    def _save(self, name: str, content: object) -> None:
        self._ctx.save_artifact(name, json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))


def _worth_comparing(one: Profile) -> bool:
    return one.numbers is not None and one.distinct > 1 and not one.identifier


def _figures(facts: Facts) -> dict[str, charts.Figure]:
    """Returns at most five figures, of aggregates only."""
    figures: dict[str, charts.Figure] = {}
    gaps = sorted((one for one in facts.profiles if one.missing), key=lambda one: -one.missing)[:20]
    if gaps:
        figures["missing"] = charts.missing_chart([(one.name, 100 * one.missing / one.rows) for one in gaps])
    if facts.series:
        lines: list[tuple[str, Sequence[float | int | None]]] = [("rows", facts.series.rows)]
        lines += facts.series.measures
        figures["over-time"] = charts.timeline(facts.series.unit, facts.series.places, lines)
    spread = [one for one in facts.profiles if one.numbers and one.numbers.edges and not one.identifier][:MAX_PANELS]
    panels = [
        (_heading(one, one.numbers), charts.histogram(one.numbers.edges, one.numbers.counts))
        for one in spread
        if one.numbers
    ]
    if panels:
        figures["distributions"] = charts.grid("Distributions", panels)
    ranked = [one for one in facts.profiles if one.top and not one.constant and not one.identifier][:MAX_PANELS]
    if ranked:
        rankings = [(one.name, charts.ranking(one.top)) for one in ranked]
        figures["frequent-values"] = charts.grid("Most frequent values", rankings, across=1)
    if len(facts.correlated) > 1:
        figures["correlations"] = charts.correlation_chart(facts.correlated, facts.matrix)
    return figures


def _heading(one: Profile, numbers: Numbers) -> str:
    """Returns the name, and what the histogram leaves out."""
    beyond = one.filled - sum(numbers.counts)
    if beyond <= 0:
        return one.name
    low, high = number(numbers.minimum), number(numbers.maximum)
    if numbers.minimum >= numbers.edges[0]:
        return f"{one.name}\n{beyond:,} more, up to {high}"
    if numbers.maximum <= numbers.edges[-1]:
        return f"{one.name}\n{beyond:,} more, down to {low}"
    return f"{one.name}\n{beyond:,} more, from {low} to {high}"


def _overview(one: Profile) -> list[Any]:
    """Returns a row of the column overview."""
    top = f"{one.top[0][0]} ({one.top[0][1]:,})" if one.top else None
    missing = round(100 * one.missing / one.rows, 2) if one.rows else 0.0
    head = [one.name, one.words, one.filled, one.missing, missing, one.distinct]
    numbers = one.numbers
    if numbers is None:
        first, last = one.span or (None, None)
        return [*head, first, None, None, None, last, None, None, None, top]
    return [
        *(*head, _exact(one, numbers.minimum), *numbers.quartiles, _exact(one, numbers.maximum)),
        *(numbers.mean, numbers.deviation),
        *(numbers.outliers, top),
    ]


def _short_facts(one: Profile) -> dict[str, Any]:
    """Returns a column's facts for the value, without unknown ones."""
    numbers = one.numbers
    facts: dict[str, Any] = {
        "name": one.name[:_MAX_NAME],
        "type": one.words,
        "missing": one.missing,
        "distinct": one.distinct,
        "identifier": one.identifier or None,
        "range": list(one.span) if one.span else None,
        "top": [[value[:40], count] for value, count in one.top[:3]] or None,
    }
    if numbers:
        facts |= {
            "min": _exact(one, numbers.minimum),
            "max": _exact(one, numbers.maximum),
            "median": numbers.quartiles[1],
        }
        facts |= {"mean": numbers.mean, "std": numbers.deviation, "outliers": numbers.outliers}
    return {key: _rounded(value) for key, value in facts.items() if value is not None}


def _exact(one: Profile, value: float) -> float | int:
    return int(value) if is_whole(one.type) else value


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _over_time(along: Series | None) -> dict[str, Any] | None:
    if along is None:
        return None
    return {
        "column": along.column[:_MAX_NAME],
        "unit": along.unit,
        "first": along.places[0],
        "last": along.places[-1],
        "stretches": len(along.places),
        "empty_stretches": along.empty,
    }


def _notes(facts: Facts) -> list[str]:
    notes = [
        f"Outliers lie more than 1.5 times the interquartile range outside the quartiles; columns of fewer than {FEW} "
        "different numbers have none."
    ]
    if facts.rows > EXACT_ROWS:
        notes.append(f"Above {EXACT_ROWS:,} rows, distinct values and quartiles are estimates.")
    if facts.correlated:
        notes.append("Correlations are Pearson's r, which detects only linear relations.")
    if len(facts.correlated) == MAX_CORRELATED:
        notes.append(f"Only the first {MAX_CORRELATED} number columns were compared.")
    if any(one.identifier for one in facts.profiles):
        names = ", ".join(code(one.name) for one in facts.profiles if one.identifier)
        notes.append(
            f"Each value of {shortened(names, 300)} occurs once, except in duplicate rows: as identifiers, they "
            "were not compared."
        )
    return notes
