"""Formats numbers, times and text from elsewhere for a terminal."""

from __future__ import annotations

import re
import unicodedata

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters except tab and newline: text from elsewhere must not control the terminal."""


def printable(text: str) -> str:
    return CONTROLS.sub("", text)


def one_line(text: str, columns: int | None = None) -> str:
    line = " ".join(printable(text).split())
    return line if columns is None else clipped(line, columns)


def clipped(line: str, columns: int) -> str:
    if width(line) <= columns:
        return line
    while line and width(line) >= columns:
        line = line[:-1]
    return f"{line}…"


def width(text: str) -> int:
    """Returns the columns that the text takes."""
    return sum(0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF") for one in text)


def duration(seconds: float) -> str:
    """Returns `8 s`, `3:05` or `2:00:09`."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{whole} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def bar(share: float, columns: int = 20) -> str:
    full = round(min(max(share, 0.0), 1.0) * columns)
    return "█" * full + "░" * (columns - full)
