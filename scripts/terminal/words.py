"""Words for a terminal: times, JSON and text from elsewhere."""

import json
import re
from typing import Any

from rich.text import Text

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters except tab and newline, and marks of the direction of writing.

Text from elsewhere must not control the terminal.
"""


def printable(text: str) -> str:
    """Returns the text without control characters."""
    return CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """Returns the text without control characters and line breaks."""
    return " ".join(printable(text).split())


def clipped(line: str, columns: int) -> str:
    """Returns the line, with an ellipsis at its end if it would take more columns."""
    text = Text(line)
    text.truncate(columns, overflow="ellipsis")
    return text.plain


def duration(seconds: float) -> str:
    """Returns `8 s`, `3:05` or `2:00:09`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def as_json(value: Any) -> str:
    """Returns indented JSON, with control characters escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
