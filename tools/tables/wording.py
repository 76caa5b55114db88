"""Numbers, names and small tables as Markdown for users."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

_MAX_NAME = 60
_MAX_CELL = 80


def code(name: str) -> str:
    """Returns a name from a file as inline code, so that it cannot contain markup."""
    text = re.sub(r"\s+", " ", str(name)).replace("`", "'").strip()
    return f"`{shortened(text, _MAX_NAME) or ' '}`"


def shortened(text: str, max_characters: int) -> str:
    return text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"


def count_of(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def share(part: int, whole: int) -> str:
    """Returns a percentage such as `3.4 %`. Never rounds to 0 or 100."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "below 0.1 %"
    if 99.9 < percent < 100:
        return "above 99.9 %"
    return f"{percent:.1f} %".replace(".0 %", " %")


def number(value: Any) -> str:
    """Returns small numbers with four significant digits, large ones with thousands separators."""
    if value is None:
        return "–"
    if isinstance(value, int) or (abs(value) >= 1_000 and abs(value) < 1e15):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [_line(columns), _line(["---"] * len(columns), escape=False)]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(cells: Sequence[Any], *, escape: bool = True) -> str:
    return "| " + " | ".join(_cell(value) if escape else str(value) for value in cells) + " |"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.10g}" if abs(value) < 1e6 else f"{value:,.2f}"
    text = shortened(re.sub(r"\s+", " ", str(value)), _MAX_CELL)
    return re.sub(r"([\\`*_\[\]<>|#~$!])", r"\\\1", text)
