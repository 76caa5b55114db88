"""JSON as it is stored, and as it goes to those who follow a job: to pages and to programs."""

from __future__ import annotations

import json
from typing import Any

import orjson


def encode(value: Any) -> bytes:
    """One line of JSON."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # half characters and numbers beyond 64 bits, which models do stream
        return json.dumps(value).encode()


def to_stored(value: Any) -> str:
    """Returns the text that the log keeps; raises `TypeError` or `ValueError` for what is no JSON.

    What only the slower library can write (half characters, numbers beyond 64 bits, both of which models do stream)
    begins with a space, so that only the slower library reads it.
    """
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return f" {json.dumps(value, allow_nan=False)}"


def from_stored(text: str) -> Any:
    return json.loads(text) if text.startswith(" ") else orjson.loads(text)
