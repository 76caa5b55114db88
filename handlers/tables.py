"""Tables that tools made, as the page can draw them: what its table does not know would take the whole chat down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count

from jobs import JSON

LARGEST_BYTES = 5_000_000
"""More than this no page draws well."""
TOO_LARGE = "This table is too large to be shown here."
BROKEN = "This table cannot be shown."
NO_DOT = "\u2024"
"""Looks like a dot. In a column's name the page takes a real one for a path into the cell."""
NO_WIDTH = "\u200b"


def drawable(raw: bytes) -> bytes:
    """`{"columns", "index", "data"}` with plain cells; for what is no such table, one that says so."""
    if len(raw) > LARGEST_BYTES:
        return _said(TOO_LARGE)
    try:
        table = json.loads(raw)
        columns, rows = table["columns"], table["data"]
        names = _names(columns)
        missing = [None] * len(names)
        shown = _table(names, [[_cell(value) for value in [*row, *missing][: len(names)]] for row in rows])
    except (ValueError, TypeError, KeyError, RecursionError):
        return _said(BROKEN)
    return shown


def _names(columns: Sequence[JSON]) -> list[str]:
    """Each once, and none empty: the page finds cells by them."""
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


def _said(sentence: str) -> bytes:
    return _table([sentence], [])


def _table(columns: Sequence[str], cells: Sequence[Sequence[JSON]]) -> bytes:
    table = {"columns": columns, "index": list(range(len(cells))), "data": cells}
    return json.dumps(table, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
