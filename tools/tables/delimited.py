"""Loads CSV and TSV into a table. The database reads regular files; irregular ones are first rewritten row by row."""

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from tools.tables.encodings import to_utf8
from tools.tables.limits import LIMITS, TableError
from tools.tables.names import literal, quoted

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_LINES = 50
_SAMPLE_CHARACTERS = 200_000
_SAMPLE_ROWS = 20_480
"""The rows from which types are detected; if later rows do not fit, the whole file is the sample."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    delimiter: str
    decimal: str
    """The decimal separator."""


def load(connection: duckdb.DuckDBPyConnection, path: Path, name: str, *, table: str, folder: Path) -> list[str]:
    """Fills a new table from the file; returns remarks. Raises TableError."""
    text, remarks = to_utf8(path, name, folder / f"{table}.utf8.csv")
    dialect = _dialect(text, name)
    try:
        if _read(connection, text, table, dialect):
            return remarks
        ordered = folder / f"{table}.ordered.csv"
        remarks += _put_in_order(text, name, ordered, dialect)
        if not _read(connection, ordered, table, dialect):
            raise TableError(f"{name!r} cannot be read as a table: its rows do not have a common format.")
        return remarks
    finally:
        for rest in folder.glob(f"{table}.*.csv"):
            rest.unlink()


def _dialect(path: Path, name: str) -> Dialect:
    with path.open(encoding="utf-8", newline="") as file:
        sample = file.read(_SAMPLE_CHARACTERS)
    if not sample.strip():
        raise TableError(f"{name!r} holds no text.")
    lines = [line for line in sample.splitlines()[:_SAMPLE_LINES] if line.strip()]
    if len(lines[0]) >= _SAMPLE_CHARACTERS:
        raise TableError(
            f"{name!r} has a first line of more than {_SAMPLE_CHARACTERS:,} characters: this is not a header."
        )
    delimiter = max(_DELIMITERS, key=lambda sign: _evenness(lines, sign))
    columns = len(next(csv.reader([lines[0]], delimiter=delimiter)))
    if columns > LIMITS.columns:
        raise TableError(
            f"{name!r} has {columns:,} columns; at most {LIMITS.columns:,} can be read. Keep only those you need."
        )
    comma = delimiter != "," and re.search(r"(?:^|[;\t|])-?\d+,\d+(?=[;\t|]|$)", "\n".join(lines), re.MULTILINE)
    point = re.search(r"(?:^|[;\t|])-?\d+\.\d+(?=[;\t|]|$)", "\n".join(lines), re.MULTILINE)
    return Dialect(delimiter=delimiter, decimal="," if comma and not point else ".")


def _evenness(lines: list[str], sign: str) -> tuple[float, int]:
    """Returns the share of lines with as many of this sign, outside quotes, as the first line, and that number."""
    counts = [re.sub(r'"[^"]*"', "", line).count(sign) for line in lines]
    if not counts[0]:
        return 0.0, 0
    same = sum(count == counts[0] for count in counts) / len(counts)
    return round(same, 1), counts[0]


def _read(connection: duckdb.DuckDBPyConnection, path: Path, table: str, dialect: Dialect) -> bool:
    """Whether the database could read the file. If types fail in later rows, they are detected from the whole file."""
    options = (
        f"delim={literal(dialect.delimiter)}, quote='\"', escape='\"', comment='', skip=0, "
        f"decimal_separator={literal(dialect.decimal)}, max_line_size={LIMITS.line_bytes}"
    )
    for more in (f"sample_size={_SAMPLE_ROWS}", "sample_size=-1", "all_varchar=true"):
        with suppress(duckdb.Error):
            connection.execute(f"DROP TABLE IF EXISTS {quoted(table)}")
            connection.execute(
                f"CREATE TABLE {quoted(table)} AS FROM read_csv(?, {options}, {more})",
                [str(path)],
            )
            return True
    return False


@dataclass
class _Order:
    """Fits rows to the header's width, and counts those that had to be changed."""

    width: int
    longer: list[int] = field(default_factory=lambda: [0, 0])
    """Their number, and the line of the first."""
    shorter: list[int] = field(default_factory=lambda: [0, 0])

    def row(self, row: list[str], line: int) -> list[str]:
        if len(row) != self.width:
            told = self.longer if len(row) > self.width else self.shorter
            told[0] += 1
            told[1] = told[1] or line
        return (row + [""] * (self.width - len(row)))[: self.width]

    def remarks(self, name: str) -> Iterator[str]:
        if self.longer[0]:
            yield (
                f"{name!r}: {_rows(self.longer[0])} more cells than the header has columns (first in line "
                f"{self.longer[1]:,}); the extra cells were left out."
            )
        if self.shorter[0]:
            yield (
                f"{name!r}: {_rows(self.shorter[0])} fewer cells than the header has columns (first in line "
                f"{self.shorter[1]:,}); the missing ones are empty."
            )


def _put_in_order(source: Path, name: str, target: Path, dialect: Dialect) -> list[str]:
    csv.field_size_limit(LIMITS.cell_characters)
    with source.open(encoding="utf-8", newline="") as file, target.open("w", encoding="utf-8", newline="") as sink:
        marks = 0

        def lines() -> Iterator[str]:
            nonlocal marks
            for line in file:
                marks += line.count('"')
                yield line

        reader = csv.reader(lines(), delimiter=dialect.delimiter)
        writer = csv.writer(sink, delimiter=dialect.delimiter, lineterminator="\n")
        order: _Order | None = None
        begun = 1
        try:
            for row in reader:
                if row:
                    order = order or _Order(width=len(row))
                    writer.writerow(order.row(row, begun))
                begun = reader.line_num + 1
        except csv.Error as error:
            raise TableError(
                f"{name!r}: the row that begins in line {begun:,} has a cell of more than "
                f"{LIMITS.cell_characters:,} characters. Perhaps a quotation mark is not closed there."
            ) from error
    remarks = list(order.remarks(name)) if order else []
    if marks % 2:
        remarks.append(f"{name!r}: a quotation mark is not closed; the cell that it opens may contain further rows.")
    return remarks


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"
