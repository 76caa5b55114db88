"""A table's rows as Python values, for tools that process them one by one."""

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any

from toolkit import UploadedFile
from tools.tables.database import Database
from tools.tables.limits import TableError
from tools.tables.names import quoted

INTEGER_LIMIT = 2**63
"""Whole numbers below this fit into JSON and Parquet."""

Cell = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Rows:
    name: str
    """The file's name."""
    columns: list[str]
    rows: list[dict[str, Cell]]
    remarks: list[str]


def read_rows(file: UploadedFile, *, folder: Path, max_rows: int) -> Rows:
    """Reads all rows of a CSV, TSV, Parquet or XLSX file; temporary files go into `folder`. CPU-bound: use a thread.

    Raises TableError, with a sentence, if the file is not a table, is damaged, or has more than `max_rows` rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Database(folder) as database:
        table = database.load(file.path, file.name, "rows")
        if table.rows > max_rows:
            raise TableError(
                f"{file.name!r} has {table.rows:,} rows; at most {max_rows:,} can be read here. Send a smaller part."
            )
        columns = [column.name for column in table.columns]
        rows = [
            {column: cell(value) for column, value in zip(columns, row, strict=True)}
            for batch in database.batches(f"FROM {quoted(table.name)}")
            for row in batch
        ]
    (folder / "tables.duckdb").unlink(missing_ok=True)
    return Rows(name=file.name, columns=columns, rows=rows, remarks=list(table.remarks))


def cell(value: Any) -> Cell:
    """Returns a database value for JSON: dates as ISO text, nested values as text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if -INTEGER_LIMIT <= value < INTEGER_LIMIT else str(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Decimal):
        return cell(float(value))
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)
