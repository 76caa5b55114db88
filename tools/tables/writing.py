"""Writes tables as CSV, safe from formulas in spreadsheets, and as Parquet."""

import csv
import json
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from pathlib import Path

import duckdb

from tools.tables.limits import MEMORY_LIMIT, THREADS
from tools.tables.names import literal, quoted
from tools.tables.rows import INTEGER_LIMIT, cell

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)*|\.\d+)(?:[eE][+-]?\d+)?%?")
_TYPES = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", datetime: "TIMESTAMP", date: "DATE", time: "TIME"}


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes UTF-8 with a header. Puts an apostrophe before cells that a spreadsheet would read as formulas."""
    with path.open("w", encoding="utf-8", newline="", errors="replace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([safe(column) for column in columns])
        writer.writerows([safe(value) for value in row] for row in rows)


def safe(value: object) -> object:
    """Returns the value as a cell of CSV."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else str(cell(value))
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def write_parquet(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes columns with the type of all their values, else as text. Uses a temporary file beside `path`."""
    draft = path.with_name(f".{path.name}.jsonl")
    try:
        kinds = _write_lines(draft, len(columns), rows)
        with duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": THREADS}) as connection:
            read = ", ".join(f"'c{i}': {literal(kind)}" for i, kind in enumerate(kinds))
            names = ", ".join(
                f"c{i} AS {quoted(name)}" for i, name in enumerate(_different([str(name) for name in columns]))
            )
            connection.execute(f"SET temp_directory = {literal(str(path.with_name('.spill')))}")
            connection.execute(
                f"COPY (SELECT {names} FROM read_json({literal(str(draft))}, format='newline_delimited', "
                f"columns={{{read}}}, maximum_object_size=100000000)) TO {literal(str(path))} (FORMAT parquet)"
            )
    finally:
        draft.unlink(missing_ok=True)


def _write_lines(draft: Path, width: int, rows: Iterable[Sequence[object]]) -> list[str]:
    """Writes the rows as JSON lines. Returns the type of each column."""
    kinds: list[str | None] = [None] * width
    with draft.open("w", encoding="utf-8", errors="replace") as file:
        for row in rows:
            for index, value in enumerate(row):
                kinds[index] = _common(kinds[index], value)
            line = {f"c{index}": cell(value) for index, value in enumerate(row)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return [kind or "VARCHAR" for kind in kinds]


def _common(kind: str | None, value: object) -> str | None:
    if value is None:
        return kind
    own = _TYPES.get(type(value), "VARCHAR")
    if isinstance(value, int) and not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        own = "VARCHAR"
    if kind in (None, own):
        return own
    return "DOUBLE" if {kind, own} == {"BIGINT", "DOUBLE"} else "VARCHAR"


def _different(names: list[str]) -> list[str]:
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, n = name or "column", 2
        while candidate.casefold() in taken:
            candidate, n = f"{name}_{n}", n + 1
        taken.add(candidate.casefold())
        result.append(candidate)
    return result
