"""The tool that runs SQL on the files of a conversation, in a database that can only read them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
from pydantic import Field

from language.aggregates import NOT_UNDERSTOOD
from toolkit import ToolContext, ToolError, UploadedFile, tool
from toolkit.markdown import escaped
from tools.tables import (
    LIMITS,
    READABLE,
    RESULT,
    Column,
    Database,
    Interrupted,
    Table,
    cell,
    looks_like_table,
    table_names,
    write_csv,
)
from tools.tables.asking import fitting_chart, statement_for
from tools.tables.charts import result_chart
from tools.tables.names import literal
from tools.tables.statement import Select, check, refusal
from tools.tables.wording import code, count_of, markdown_table, shortened

DOWNLOAD_ROWS = 1_000_000
SHOWN_ROWS = 1_000
"""Maximum rows in the chat's table and in a chart."""
FIGURE_ROWS = 31
"""Rows of the answer to a question in words: a month of days, or the largest groups."""
VALUE_ROWS = 50
VALUE_CHARACTERS = 12_000
CELL_CHARACTERS = 200
"""Maximum for a cell in the tool's value."""
SHOWN_CHARACTERS = 2_000
"""Maximum for a cell in the chat's table."""

Chart = Literal["none", "line", "bar", "scatter"]
Download = Literal["csv", "parquet", "none"]


@tool(run_in="process", memory_mb=2_500, timeout_seconds=1_800)
def query_table(
    ctx: ToolContext,
    sql: Annotated[str, Field(max_length=20_000)] = "",
    tables: list[UploadedFile] | None = None,
    chart: Chart = "none",
    download: Download = "csv",
    timeout_seconds: Annotated[int, Field(ge=1, le=600)] = 60,
    question: Annotated[str, Field(max_length=2_000)] = "",
) -> dict[str, Any]:
    """Answer a question about CSV, Excel or Parquet files by SQL (DuckDB): a table, a chart, a download.

    Each file is a table named after it: "Shop orders.csv" is shop_orders. `SHOW TABLES` and `DESCRIBE shop_orders` list
    tables and columns. Only reading is possible.

    Args:
        sql: One SELECT statement (also WITH, DESCRIBE, SUMMARIZE, SHOW TABLES); required without a question.
        tables: The files to query; by default every table of this conversation.
        chart: The kind of chart: the first column on the x axis, each number column as a series.
        download: The format of the whole result as a file.
        timeout_seconds: Maximum duration of the query.
        question: Instead of SQL, a question on one figure, in all or by group; the model writes the SQL for it.
    """
    if bool(sql.strip()) == bool(question.strip()):
        raise ToolError("Give either sql, a SELECT statement, or a question in words.")
    files = _files(ctx, tables)
    with Database(ctx.scratch) as database:
        loaded = _load(ctx, database, files)
        database.lock()
        if question:
            ctx.report_progress(len(files), len(files) + 1, "Writing the query")
            sql = statement_for(ctx, question, database, loaded)
        query = _Query(ctx, database, loaded, sql, asked=bool(question))
        try:
            return query.answer(chart, download, timeout_seconds)
        except duckdb.Error as error:  # the result is too large to be stored or written
            raise refusal(error, sql) from error


def _files(ctx: ToolContext, tables: list[UploadedFile] | None) -> list[UploadedFile]:
    files = [file for file in ctx.files if looks_like_table(file.name)] if tables is None else tables
    if not files:
        raise ToolError(f"There is no table to query. Attach one first: {READABLE} can be read.")
    if len(files) > LIMITS.files:
        raise ToolError(f"{len(files)} tables are too many for one call; send at most {LIMITS.files}.")
    return files


def _load(ctx: ToolContext, database: Database, files: list[UploadedFile]) -> list[Table]:
    loaded = []
    for done, (file, name) in enumerate(zip(files, table_names(file.name for file in files), strict=True)):
        ctx.report_progress(done, len(files) + 1, f"Reading {file.name}")
        loaded.append(database.load(file.path, file.name, name))
        for remark in loaded[-1].remarks:
            ctx.log("warning", remark)
    return loaded


class _Query:
    """One statement on loaded tables. Its result is stored as a table."""

    def __init__(self, ctx: ToolContext, database: Database, tables: list[Table], sql: str, *, asked: bool) -> None:
        self._ctx = ctx
        self._database = database
        self._tables = tables
        self._sql = sql
        self._asked = asked
        """Whether the user asked in words, and has not seen the SQL yet."""
        self._remarks = [remark for table in tables for remark in table.remarks]

    def answer(self, chart: Chart, download: Download, seconds: int) -> dict[str, Any]:
        select = check(self._database, self._sql)
        self._ctx.report_progress(len(self._tables), len(self._tables) + 1, "Running the query")
        self._run(select, seconds)
        columns = self._database.describe(f"FROM {RESULT}")
        [(rows,)] = self._database.read(f"SELECT count(*) FROM {RESULT}")
        if self._asked and chart == "none" and rows > 1:
            chart = fitting_chart(columns)
        if rows > DOWNLOAD_ROWS:
            self._database.read(f"DELETE FROM {RESULT} WHERE rowid >= {DOWNLOAD_ROWS}")
            rows = DOWNLOAD_ROWS
            self._remarks.append(f"The result has more than {DOWNLOAD_ROWS:,} rows: only the first are kept.")
        first = [[cell(value) for value in row] for row in self._database.read(f"FROM {RESULT} LIMIT {SHOWN_ROWS}")]
        if not self._asked or rows > FIGURE_ROWS:  # a few figures stand in the answer itself
            self._save(columns, first, rows, download)
        if chart != "none":
            self._draw(chart, columns, first, rows)
        return self._value(columns, first, rows)

    def _run(self, select: Select, seconds: int) -> None:
        try:
            with self._database.at_most(seconds):
                self._database.read(f"CREATE TABLE {RESULT} AS FROM {select.inner} LIMIT {DOWNLOAD_ROWS + 1}")
        except Interrupted as error:
            raise ToolError(
                f"The query did not finish within {seconds} s and was stopped. Filter or group earlier, or set a "
                "longer timeout_seconds."
            ) from error
        except duckdb.Error as error:
            raise refusal(error, select.sql, tables=[table.name for table in self._tables], moved=1) from error

    def _save(self, columns: list[Column], first: list[list[Any]], rows: int, download: Download) -> None:
        names = [column.name for column in columns]
        shown = {
            "columns": names,
            "index": list(range(1, len(first) + 1)),
            "data": [[_short(value, SHOWN_CHARACTERS) for value in row] for row in first],
        }
        self._ctx.save_artifact("result.table.json", json.dumps(shown, ensure_ascii=False).encode("utf-8", "replace"))
        if rows > len(first):
            rest = f"; the download has all {rows:,}" if download != "none" else ""
            self._remarks.append(f"The table below shows the first {len(first):,} rows{rest}.")
        if download == "csv":
            path = self._ctx.scratch / "result.csv"
            write_csv(path, names, (row for batch in self._database.batches(f"FROM {RESULT}") for row in batch))
            self._ctx.save_artifact("result.csv", path)
        elif download == "parquet":
            self._ctx.save_artifact("result.parquet", self._parquet())

    def _parquet(self) -> Path:
        # The locked database may write only into its spill directory.
        path = self._ctx.scratch / "spill" / "result.parquet"
        path.parent.mkdir(exist_ok=True)
        self._database.read(f"COPY {RESULT} TO {literal(str(path))} (FORMAT parquet)")
        return path

    def _draw(self, chart: Chart, columns: list[Column], first: list[list[Any]], rows: int) -> None:
        figure = result_chart(chart, columns, first)
        if figure is None:
            self._remarks.append("There is no chart: it needs a second column with numbers.")
            return
        if rows > len(first):
            self._remarks.append(f"The chart shows the first {len(first):,} rows.")
        self._ctx.save_artifact("result.plotly.json", json.dumps(figure, ensure_ascii=False).encode("utf-8", "replace"))

    def _value(self, columns: list[Column], first: list[list[Any]], rows: int) -> dict[str, Any]:
        names = [column.name for column in columns]
        tables = ", ".join(f"{code(table.name)} ({count_of(table.rows, 'row')})" for table in self._tables)
        parts = [f"**{count_of(rows, 'row')}**, {count_of(len(columns), 'column')}. Tables: {tables}."]
        if self._asked:
            parts = [*_left_aside(self._sql), _figures(names, first), _fenced(self._sql), f"Counted in {tables}."]
        elif len(first) == 1 and len(names) <= 12:  # more rows are for the table, which is drawn
            parts.append(markdown_table(names, first))
        parts += [f"- {remark}" for remark in self._remarks]
        shown = list(_fitting(first[:VALUE_ROWS]))
        return {
            "summary": "\n\n".join(parts),
            "tables": [_described(table) for table in self._tables],
            "columns": [{"name": _short(column.name), "type": _short(column.type)} for column in columns[:100]],
            "row_count": rows,
            "rows_shown": len(shown),
            "rows": shown,
            "remarks": self._remarks,
        }


def _left_aside(sql: str) -> list[str]:
    """Returns the words of the question that the offline model lists after its statement as not understood."""
    _, mark, words = sql.partition(NOT_UNDERSTOOD)
    return [f"Not understood, and left aside: {escaped(words)}."] if mark else []


def _fenced(sql: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", sql)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sql\n{sql}\n{fence}"


def _figures(names: list[str], rows: list[list[Any]]) -> str:
    """Returns a single figure in bold, or the first rows as a table."""
    if not rows or (len(rows) == 1 and rows[0] == [None]):
        return "No row fits."
    if len(rows) == 1 and len(names) == 1:
        [figure] = rows[0]
        is_figure = isinstance(figure, int | float) and not isinstance(figure, bool)
        return f"**{figure:,}** ({code(names[0])})" if is_figure else f"**{escaped(str(figure))}**"
    more = f"\n\n… and {len(rows) - FIGURE_ROWS:,} more rows." if len(rows) > FIGURE_ROWS else ""
    return markdown_table(names, rows[:FIGURE_ROWS]) + more


def _described(table: Table) -> dict[str, Any]:
    names = [_short(column.name) for column in table.columns[:40]]
    return {"name": table.name, "file": table.file_name, "rows": table.rows, "columns": names}


def _fitting(rows: list[list[Any]]) -> Iterator[list[Any]]:
    """Yields as many rows as the model should read, with long cells shortened."""
    left = VALUE_CHARACTERS
    for row in rows:
        short = [_short(value) for value in row[:100]]
        left -= len(json.dumps(short))
        if left < 0:
            return
        yield short


def _short(value: Any, max_characters: int = CELL_CHARACTERS) -> Any:
    return shortened(value, max_characters) if isinstance(value, str) else value
