"""A tool's arguments as people type them: `years=30 files=a.pdf files=b.pdf`, read by the tool's JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.terminal.server import Refused

Schema = Mapping[str, Any]
Upload = Callable[[Path], str]
"""Gives the id of the stored file."""


def read_arguments(words: Sequence[str], text: str | None, schema: Schema, upload: Upload) -> dict[str, Any]:
    """`text` is a JSON object to begin with. Nothing is uploaded before all words are understood.

    Raises `Refused`.
    """
    arguments = read_object(text)
    known = schema.get("properties", {})
    typed: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in known:
            raise Refused(f"{word!r} is none of the tool's arguments, which are: {_names(known)}.")
        typed.setdefault(name, []).append(value)
    read = {name: _value(name, values, _shape(known[name], schema)) for name, values in typed.items()}
    for name in read:
        read[name] = _uploaded(read[name], _shape(known[name], schema), upload)
    return arguments | read


def read_object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refused("--json takes a JSON object, such as '{\"years\": 30}'.")
    return value


def _names(properties: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}=…" for name in properties) or "none"


def _shape(field: Schema, schema: Schema) -> Schema:
    """What a value must look like when there is one."""
    while "$ref" in field:
        field = schema.get("$defs", {}).get(str(field["$ref"]).rpartition("/")[2], {})
    for alternative in field.get("anyOf", ()):
        if alternative.get("type") != "null":
            return _shape(alternative, schema)
    return field


def _value(name: str, values: Sequence[str], shape: Schema) -> Any:
    if shape.get("type") == "array":
        return _list(name, values, shape.get("items", {}))
    if len(values) > 1:
        raise Refused(f"{name} takes one value, not {len(values)}.")
    return _checked(name, values[0], shape)


def _list(name: str, values: Sequence[str], items: Schema) -> Any:
    """`tags=a tags=b`, or `tags=["a","b"]`."""
    if len(values) == 1 and values[0].lstrip().startswith("["):
        whole = _json(values[0])
        if isinstance(whole, list):
            return whole
    return [_checked(name, value, items) for value in values]


def _checked(name: str, text: str, shape: Schema) -> Any:
    """The words of the schema decide; what is wrong with a value, the server says."""
    if is_file(shape):
        if not text.startswith("file_") and not Path(text).is_file():
            raise Refused(f"{name}: there is no file {text!r}.")
        return text
    if shape.get("type", "string") == "string" and "enum" not in shape:
        return text
    value = _json(text)
    return text if value is None and text != "null" else value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def is_file(shape: Schema) -> bool:
    return shape.get("format") == "file-id"


def _uploaded(value: Any, shape: Schema, upload: Upload) -> Any:
    if isinstance(value, list):
        return [_uploaded(one, shape.get("items", {}), upload) for one in value]
    if is_file(shape) and isinstance(value, str) and Path(value).is_file():
        return upload(Path(value))
    return value
