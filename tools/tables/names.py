"""Names in SQL: of tables, after their files; quoted if they come from outside."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

_MAX_NAME = 60
_KEYWORDS = {"all", "and", "as", "by", "case", "from", "group", "in", "join", "limit", "not", "on", "or", "order"}
_KEYWORDS |= {"select", "table", "then", "union", "using", "when", "where", "with", "default", "primary", "user", "end"}


def quoted(name: str) -> str:
    """Returns the name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def table_name(file_name: str) -> str:
    """Returns a name that needs no quotes: `shop_orders_2025` for `Shop orders 2025.csv`."""
    stem = unicodedata.normalize("NFKD", Path(file_name).stem).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", stem).strip("_")[:_MAX_NAME].strip("_")
    if not name or name[0].isdigit() or name in _KEYWORDS:
        name = f"t_{name}".rstrip("_")
    return name


def table_names(file_names: Iterable[str]) -> list[str]:
    """Returns a unique name for each file, in order."""
    taken: set[str] = set()
    result = []
    for base in map(table_name, file_names):
        name, n = base, 2
        while name in taken:
            name, n = f"{base}_{n}", n + 1
        taken.add(name)
        result.append(name)
    return result
