"""Describes the problems of arguments for the user who typed them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError  # type: ignore[import-untyped]
from jsonschema.exceptions import SchemaError, relevance  # type: ignore[import-untyped]
from referencing import Registry
from referencing.exceptions import Unresolvable

NO_REMOTE_SCHEMAS: Registry[Any] = Registry()
"""Prevents this process from fetching a schema's references: the schema may come from an MCP server."""

MAX_ENTRY = 60
MAX_ENTRIES = 3
"""Entries that a sentence names, and characters of each."""
GENERAL = ""
"""The key of a problem that belongs to no single field."""


def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(date.fromisoformat(value))


def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or time.fromisoformat(value) is not None


formats = FormatChecker(formats=())
for _name, _check in {"date": _is_date, "date-time": _is_moment, "time": _is_time}.items():
    formats.checks(_name, raises=ValueError)(_check)


def problems_of(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, str]:
    """Returns the first problem of each parameter; one that belongs to none has the key GENERAL.

    An invalid schema finds no problems: the tool's own process checks too.
    """
    found: dict[str, str] = {}
    try:
        Draft202012Validator.check_schema(schema)
        for error in Draft202012Validator(schema, format_checker=formats, registry=NO_REMOTE_SCHEMAS).iter_errors(
            dict(arguments)
        ):
            for name, sentence in _explained(error):
                found.setdefault(name, sentence)
    except (SchemaError, re.error, Unresolvable, RecursionError):  # a pattern may be in another dialect
        return {}
    return found


def _explained(error: ValidationError) -> Iterable[tuple[str, str]]:
    if error.validator == "required" and not error.absolute_path:
        return [(name, "This is required.") for name in error.validator_value if name not in error.instance]
    cause = _cause(error)
    name, *inside = [*cause.absolute_path] or [GENERAL]
    return [(str(name), _prefix(inside) + _sentence(cause))]


def _cause(error: ValidationError) -> ValidationError:
    """Returns the error of the nearest alternative, but never that of null: an empty field means null."""
    while error.context:
        nearest = [one for one in error.context if not (one.validator == "type" and one.validator_value == "null")]
        error = min(nearest or error.context, key=relevance)
    return error


def _prefix(path: Iterable[str | int]) -> str:
    """Returns the position inside the field, as the beginning of a sentence."""
    parts = [f"entry {part + 1}" if isinstance(part, int) else f"{part!r}" for part in path]
    if not parts:
        return ""
    position = ", ".join(parts)
    return f"{position[:1].upper()}{position[1:]}: "


TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "yes or no",
    "array": "a list",
    "object": 'JSON, such as {"name": "value"}',
    "null": "empty",
}
BOUNDS = {
    "minimum": "Must be at least {}.",
    "maximum": "Must be at most {}.",
    "exclusiveMinimum": "Must be more than {}.",
    "exclusiveMaximum": "Must be less than {}.",
    "multipleOf": "Must be a multiple of {}.",
    "minLength": "Must have at least {} characters.",
    "maxLength": "Must have at most {} characters.",
    "minItems": "Needs at least {} entries.",
    "maxItems": "May have at most {} entries.",
    "pattern": "Must match the pattern {}.",
}
FORMATS = {
    "date": "Must be a date, such as 2026-11-21.",
    "date-time": "Must be a date and a time, such as 2026-11-21T14:30.",
    "time": "Must be a time, such as 14:30.",
}


def number(bound: Any) -> str:
    """Returns the number as people write it: 1,000,000, not 1000000.0."""
    if isinstance(bound, float) and bound.is_integer():
        bound = int(bound)
    return f"{bound:,}" if isinstance(bound, int) else str(bound)


def _sentence(error: ValidationError) -> str:
    kind, bound = str(error.validator), error.validator_value
    if kind in ("minLength", "minItems") and bound == 1:
        return "Must not be empty."
    if kind in BOUNDS:
        return BOUNDS[kind].format(number(bound))
    if kind == "type":
        names = [bound] if isinstance(bound, str) else bound
        return f"Must be {' or '.join(TYPES[name] for name in names if name in TYPES)}."
    if kind in ("enum", "const"):
        values = bound if kind == "enum" else [bound]
        return f"Must be one of: {', '.join(map(str, values))}."
    if kind == "format":
        return FORMATS.get(bound, "This does not have the expected form.")
    if kind == "additionalProperties" and (unknown := _unknown(error)):
        return f"It has an entry that the tool does not know: {', '.join(unknown)}."
    return OTHERS.get(kind, "This does not fit.")


def _unknown(error: ValidationError) -> list[str]:
    """Returns the names of the first entries that the schema does not have."""
    known = error.schema.get("properties", {})
    return [f"{name[:MAX_ENTRY]!r}" for name in error.instance if name not in known][:MAX_ENTRIES]


OTHERS = {
    "required": "A required entry is missing.",
    "uniqueItems": "Each entry may appear only once.",
    "additionalProperties": "It has an entry that the tool does not know.",
}
