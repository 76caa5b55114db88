"""JSON as it goes to those who follow a job: to pages and to programs."""

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
