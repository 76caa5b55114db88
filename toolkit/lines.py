"""One line of the log: text for people, or JSON for collectors. Every process writes the same kind of line."""

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

LineFormat = Literal["text", "json"]

PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")
"""Values of these characters are written unquoted in a line of text; any other value is quoted as JSON."""


def line_of(
    form: LineFormat,
    *,
    at: float,
    process: str,
    level: str,
    message: str,
    fields: Mapping[str, Any],
    trace: str = "",
) -> str:
    """The line without its end. `at`: Unix seconds. Fields that are None are left out; in text, a trace follows."""
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    known = {name: value for name, value in fields.items() if value is not None}
    if form == "json":
        head = {"time": time, "level": level, "process": process, "pid": os.getpid(), "message": message}
        return json.dumps(head | known | ({"exception": trace} if trace else {}), ensure_ascii=False, default=str)
    words = [f"{time} {process}[{os.getpid()}] {level.upper()} {_one_line(message)}"]
    line = " ".join(words + [f"{name}={_value(value)}" for name, value in known.items()])
    return f"{line}\n{trace}" if trace else line


def _value(value: object) -> str:
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _one_line(message: str) -> str:
    """A message with line breaks must not be able to forge a line of the log."""
    return message.replace("\r", "\\r").replace("\n", "\\n")
