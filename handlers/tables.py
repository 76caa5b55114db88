"""Tables of tools in a form that the page can draw; unknown kinds of cells would crash the whole chat page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count

from jobs import JSON

MAX_BYTES = 5_000_000
"""Pages draw larger tables badly."""
TOO_LARGE = "This table is too large to show here."
BROKEN = "This table cannot be shown."
NO_DOT = "\u2024"
"""Looks like a dot. The page reads a real dot in a column's name as a path into the cell."""
NO_WIDTH = "\u200b"


def drawable(raw: bytes) -> bytes:
    """Returns `{"columns", "index", "data"}` with plain cells; for invalid input, a table that says so."""
    if len(raw) > MAX_BYTES:
        return _notice(TOO_LARGE)
    try:
        table = json.loads(raw)
        columns, rows = table["columns"], table["data"]
        names = _names(columns)
        missing = [None] * len(names)
        shown = _table(names, [[_cell(value) for value in [*row, *missing][: len(names)]] for row in rows])
    except (ValueError, TypeError, KeyError, RecursionError):
        return _notice(BROKEN)
    return shown


def _names(columns: Sequence[JSON]) -> list[str]:
    """Returns unique, non-empty names, by which the page finds cells."""
    names: dict[str, None] = {}
    places = count(2)
    for column in columns:
        name = (column if isinstance(column, str) else json.dumps(column)).replace(".", NO_DOT) or NO_WIDTH
        while name in names:
            name = f"{name} ({next(places)})"
        names[name] = None
    return list(names)


def _cell(value: JSON) -> str | int | float | None:
    if isinstance(value, bool | list | Mapping):
        return json.dumps(value, ensure_ascii=False)
    plain: str | int | float | None = value
    return plain


def _notice(sentence: str) -> bytes:
    return _table([sentence], [])


def _table(columns: Sequence[str], cells: Sequence[Sequence[JSON]]) -> bytes:
    table = {"columns": columns, "index": list(range(len(cells))), "data": cells}
    return json.dumps(table, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
