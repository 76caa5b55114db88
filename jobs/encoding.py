"""JSON as the log stores it and as pages and programs receive it."""

from __future__ import annotations

import json
from typing import Any

import orjson


def encode(value: Any) -> bytes:
    """One line of JSON."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # half characters and numbers beyond 64 bits; models stream both
        return json.dumps(value).encode()


def to_stored(value: Any) -> str:
    """Returns the text that the log keeps. Raises `TypeError` or `ValueError` for a value that is not JSON.

    A value that only the slower library can write (half characters, numbers beyond 64 bits; models stream both)
    begins with a space, so that the slower library reads it back.
    """
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return f" {json.dumps(value, allow_nan=False)}"


def storable(text: str) -> str:
    """Returns the text without half characters, which a text column cannot hold."""
    return text.encode("utf-8", "replace").decode()


def from_stored(text: str) -> Any:
    return json.loads(text) if text.startswith(" ") else orjson.loads(text)
