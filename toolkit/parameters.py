"""Reads a tool's parameters from the JSON Schema of its arguments, for forms, terminals, offline calls and checks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from toolkit.schemas import FILE_ID, own_words, referred
from toolkit.wire import JSON

LONG_CHARACTERS = 2_000
"""A text parameter that allows this many characters gets an input of several lines."""
MAX_DEPTH = 5
"""Of lists in lists, which are entered as JSON anyway; the limit stops at a schema that contains itself."""
BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")

Schema = Mapping[str, Any]


class Missing:
    """Marks a parameter without a value or a default."""


MISSING: Final = Missing()


class Kind(StrEnum):
    """The kind of value that a parameter takes. `public/elements/ToolForm.jsx` draws an input for each."""

    TEXT = "text"
    LONG_TEXT = "long"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    DATE = "date"
    DATETIME = "datetime"
    FILE = "file"
    FILES = "files"
    LIST = "list"
    JSON = "json"


TEXTS = frozenset({Kind.TEXT, Kind.LONG_TEXT})
FILE_KINDS = frozenset({Kind.FILE, Kind.FILES})
WORDS = TEXTS | {Kind.CHOICE, Kind.DATE, Kind.DATETIME, Kind.LIST}
"""Kinds whose strings are not ids of files, even if the parameter also takes files."""
LINES = TEXTS | {Kind.INTEGER, Kind.NUMBER, Kind.DATE, Kind.DATETIME}
"""Kinds that the entries of a list may have; a list of other kinds is entered as JSON."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One value of a choice; any JSON."""

    label: str
    value: JSON


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a tool."""

    name: str
    kind: Kind
    schema: Schema
    """The parameter's schema, with references resolved and null removed."""
    description: str
    required: bool
    nullable: bool
    default: JSON
    """MISSING if there is none."""
    options: Sequence[Option] = ()
    item: Kind | None = None
    """The kind of a list's entries."""
    takes_many: bool = False
    """Whether its value is, or may be, a list."""
    takes_files: bool = False
    """Whether strings in it are ids of uploaded files."""

    @property
    def title(self) -> str:
        """The name in words, with a capital letter."""
        words = self.name.replace("_", " ").strip() or self.name
        return words[:1].upper() + words[1:]

    @property
    def bounds(self) -> dict[str, Any]:
        """The bounds of a number, by their names in the schema."""
        return {name: self.schema[name] for name in BOUNDS if name in self.schema}


def parameters_of(schema: Schema) -> tuple[Parameter, ...]:
    """Returns the parameters that a schema of arguments describes. It may come from an MCP server."""
    definitions, required = schema.get("$defs", {}), schema.get("required", ())
    return tuple(
        _parameter(name, shape, required=name in required, definitions=definitions)
        for name, shape in schema.get("properties", {}).items()
    )


def file_ids(arguments: Mapping[str, JSON], parameters: Iterable[Parameter]) -> list[tuple[str, str]]:
    """Returns the uploaded files that the arguments name, each with its parameter."""
    given = [(one.name, arguments.get(one.name)) for one in parameters if one.takes_files]
    listed = [(name, value if isinstance(value, list) else [value]) for name, value in given]
    return [(name, one) for name, values in listed for one in values if isinstance(one, str)]


def arguments_of_files(ids: Sequence[str], parameters: Iterable[Parameter]) -> dict[str, JSON]:
    """Returns attached files as arguments: all where a parameter takes several, else the newest."""
    taking = [one for one in parameters if one.takes_files] if ids else []
    return {one.name: list(ids) if one.takes_many else ids[-1] for one in taking}


def text_of(value: JSON) -> str:
    """Returns the value as people read it; None and MISSING as an empty string."""
    if value is None or value is MISSING:
        return ""
    indent = 2 if isinstance(value, dict | list) and value else None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=indent)


def _parameter(name: str, schema: Any, *, required: bool, definitions: Mapping[str, Any]) -> Parameter:
    schema = _as_schema(schema)
    shape, nullable = _shape(schema, definitions)
    default = schema.get("default", MISSING)
    kind, item = _kind(shape, default, definitions)
    options = tuple(Option(label=text_of(value), value=value) for value in _values(shape))
    if kind is Kind.BOOLEAN and nullable:
        kind, options = Kind.CHOICE, (Option(label="Yes", value=True), Option(label="No", value=False))
    alternatives = _alternatives(shape, definitions) or [shape]
    kinds = {_kind(one, MISSING, definitions)[0] for one in alternatives}
    return Parameter(
        name=name,
        kind=kind,
        schema=shape,
        description=own_words(schema),
        required=required,
        nullable=nullable,
        default=default,
        options=options,
        item=item,
        takes_many=any(one.get("type") == "array" for one in alternatives),
        takes_files=bool(kinds & FILE_KINDS) and not kinds & WORDS,
    )


def _as_schema(schema: Any) -> Schema:
    """Returns the schema; a boolean one, such as `true`, which allows anything, as an empty schema."""
    return schema if isinstance(schema, Mapping) else {}


def _shape(schema: Any, definitions: Mapping[str, Any]) -> tuple[Schema, bool]:
    """Returns the schema behind references and `| None`, and whether null is allowed."""
    schema = _resolved(schema, definitions)
    alternatives = _alternatives(schema, definitions)
    others = [one for one in alternatives if one.get("type") != "null"]
    nullable = len(others) < len(alternatives)
    if len(others) == 1:
        inner, more = _shape(others[0], definitions)
        return inner, nullable or more
    return schema, nullable


def _alternatives(schema: Schema, definitions: Mapping[str, Any]) -> list[Schema]:
    return [_resolved(one, definitions) for one in schema.get("anyOf", ())]


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Schema:
    """Returns the schema that a reference points to; any other schema unchanged."""
    found = _as_schema(schema)
    for _ in range(len(definitions) + 1):
        name = referred(found)
        if name not in definitions:
            break
        found = _as_schema(definitions[name])
    return found


def _kind(shape: Schema, default: JSON, definitions: Mapping[str, Any], depth: int = 0) -> tuple[Kind, Kind | None]:
    """Returns the kind of a parameter and, for a list, that of its entries."""
    if _values(shape):
        return Kind.CHOICE, None
    match shape.get("type"):
        case "array":
            return _kind_of_list(shape, definitions, depth)
        case "string":
            return _kind_of_text(shape, default), None
        case "integer" | "number" | "boolean" as plain:
            return Kind(plain), None
    return Kind.JSON, None


def _kind_of_list(shape: Schema, definitions: Mapping[str, Any], depth: int) -> tuple[Kind, Kind | None]:
    if depth > MAX_DEPTH:
        return Kind.JSON, None
    item, _ = _shape(shape.get("items", {}), definitions)
    inner, _ = _kind(item, MISSING, definitions, depth + 1)
    if inner is Kind.FILE:
        return Kind.FILES, None
    if inner is Kind.CHOICE and item.get("type") == "string":
        return Kind.LIST, Kind.TEXT
    return (Kind.LIST, inner) if inner in LINES else (Kind.JSON, None)


def _kind_of_text(shape: Schema, default: JSON) -> Kind:
    formats = {FILE_ID: Kind.FILE, "date": Kind.DATE, "date-time": Kind.DATETIME}
    if (kind := formats.get(shape.get("format", ""))) is not None:
        return kind
    is_long = shape.get("maxLength", 0) >= LONG_CHARACTERS or (isinstance(default, str) and "\n" in default)
    return Kind.LONG_TEXT if is_long else Kind.TEXT


def _values(shape: Schema) -> Sequence[JSON]:
    return [shape["const"]] if "const" in shape else list(shape.get("enum", ()))
