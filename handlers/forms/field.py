"""A parameter of a tool as a field: what it looks like, how a value is shown in it, what is read from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from jobs import JSON
from toolkit.problems import FILE_ID

LONG_CHARACTERS = 2_000
"""A text that may be longer than this is written on several lines."""
LONGEST_NUMBER = 60
"""Characters; nobody types more, and Python's own limit is no sentence."""
FILE_WORDS = "The id of an uploaded file."
"""What the type says of itself to models; people choose by name."""

Schema = Mapping[str, Any]
Widget = Any
"""What a field of the page holds: text; a bool for a box to tick; a list of ids for files."""


class Missing:
    """Nothing was given: the tool's default holds."""


MISSING: Final = Missing()


class Kind(StrEnum):
    """The page knows these; `public/elements/ToolForm.jsx` draws each."""

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


@dataclass(frozen=True, kw_only=True)
class Option:
    """One of the values of a choice, which may be any JSON."""

    label: str
    value: JSON


@dataclass(frozen=True, kw_only=True)
class Field:
    """A parameter."""

    name: str
    kind: Kind
    schema: Schema
    """The parameter's shape: references resolved, null taken off."""
    description: str
    required: bool
    nullable: bool
    default: JSON
    """MISSING when there is none."""
    options: Sequence[Option] = ()
    item: Kind | None = None
    """Of a list: what its lines are."""

    @property
    def label(self) -> str:
        words = self.name.replace("_", " ").strip() or self.name
        return words[:1].upper() + words[1:]

    def show(self, value: JSON) -> Widget:
        """The value as the page holds it; a value that does not fit is shown as it is."""
        match self.kind:
            case Kind.BOOLEAN:
                return value is True
            case Kind.CHOICE:
                return next((str(i) for i, option in enumerate(self.options) if same(option.value, value)), "")
            case Kind.FILES:
                ids = value if isinstance(value, list) else [value]
                return [one for one in ids if isinstance(one, str)]
            case Kind.LIST if isinstance(value, list):
                return "\n".join(_text(one) for one in value)
            case _:
                return _text(value)

    def read(self, widget: Widget) -> JSON:
        """The argument; MISSING for an empty field. What cannot be read stays as it is, for the check to name it."""
        if (isinstance(widget, str) and not widget.strip()) or widget is None or widget == []:
            return self._empty()
        if self.kind is Kind.CHOICE:
            return self.options[int(widget)].value if self._is_choice(widget) else widget
        if self.kind is Kind.LIST and isinstance(widget, str):
            return [_read(self.item, line.strip()) for line in widget.splitlines() if line.strip()]
        return _read(self.kind, widget)

    def _empty(self) -> JSON:
        if self.default is MISSING or self.default is None:
            return MISSING
        if self.nullable:
            return None
        if self.kind in (Kind.LIST, Kind.FILES):
            return []
        return "" if self.kind in (Kind.TEXT, Kind.LONG_TEXT) else MISSING

    def _is_choice(self, widget: Widget) -> bool:
        return isinstance(widget, str) and widget.isascii() and widget.isdigit() and int(widget) < len(self.options)


DEEPEST = 5
"""Lists in lists are JSON in the form anyway."""


def field_of(name: str, schema: Schema, *, required: bool, definitions: Mapping[str, Schema]) -> Field:
    """From the parameter's own schema."""
    schema = as_schema(schema)
    shape, nullable = _shape(schema, definitions)
    default = schema.get("default", MISSING)
    kind, item = _kind(shape, default, definitions)
    options = tuple(Option(label=_text(value), value=value) for value in _values(shape))
    if kind is Kind.BOOLEAN and nullable:
        kind, options = Kind.CHOICE, (Option(label="Yes", value=True), Option(label="No", value=False))
    return Field(
        name=name,
        kind=kind,
        schema=shape,
        description=_description(schema),
        required=required,
        nullable=nullable,
        default=default,
        options=options,
        item=item,
    )


def _description(schema: Schema) -> str:
    """The author's words; not those that each file parameter has of its type."""
    words = str(schema.get("description", ""))
    return "" if schema.get("format") == FILE_ID and words == FILE_WORDS else words


def same(one: JSON, other: JSON) -> bool:
    """Equal as JSON: 1 is not true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def as_schema(schema: Any) -> Schema:
    """JSON Schema also has true, which allows anything."""
    return schema if isinstance(schema, Mapping) else {}


def _shape(schema: Schema, definitions: Mapping[str, Schema]) -> tuple[Schema, bool]:
    """The schema behind references and `| None`, and whether null is allowed."""
    schema = resolve(as_schema(schema), definitions)
    alternatives = [resolve(one, definitions) for one in schema.get("anyOf", ())]
    others = [one for one in alternatives if one.get("type") != "null"]
    nullable = len(others) < len(alternatives)
    if len(others) == 1:
        inner, more = _shape(others[0], definitions)
        return inner, nullable or more
    return schema, nullable


def resolve(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """What a reference points to; anything else is itself."""
    schema = as_schema(schema)
    for _ in range(len(definitions) + 1):
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        if name not in definitions:
            break
        schema = as_schema(definitions[name])
    return schema


def _kind(shape: Schema, default: JSON, definitions: Mapping[str, Schema], depth: int = 0) -> tuple[Kind, Kind | None]:
    if _values(shape):
        return Kind.CHOICE, None
    if shape.get("type") == "array":
        if depth > DEEPEST:
            return Kind.JSON, None  # a list of itself
        item, _ = _shape(shape.get("items", {}), definitions)
        inner, _ = _kind(item, MISSING, definitions, depth + 1)
        if inner is Kind.FILE:
            return Kind.FILES, None
        plain = inner in (Kind.TEXT, Kind.LONG_TEXT, Kind.INTEGER, Kind.NUMBER, Kind.DATE, Kind.DATETIME)
        listed = plain or (inner is Kind.CHOICE and item.get("type") == "string")
        return (Kind.LIST, Kind.TEXT if inner is Kind.CHOICE else inner) if listed else (Kind.JSON, None)
    if shape.get("type") == "string":
        return _kind_of_text(shape, default), None
    kinds = {"integer": Kind.INTEGER, "number": Kind.NUMBER, "boolean": Kind.BOOLEAN}
    return kinds.get(str(shape.get("type")), Kind.JSON), None


def _kind_of_text(shape: Schema, default: JSON) -> Kind:
    formats = {FILE_ID: Kind.FILE, "date": Kind.DATE, "date-time": Kind.DATETIME}
    if (kind := formats.get(shape.get("format", ""))) is not None:
        return kind
    is_long = shape.get("maxLength", 0) >= LONG_CHARACTERS or (isinstance(default, str) and "\n" in default)
    return Kind.LONG_TEXT if is_long else Kind.TEXT


def _values(shape: Schema) -> Sequence[JSON]:
    return [shape["const"]] if "const" in shape else list(shape.get("enum", ()))


def _read(kind: Kind | None, widget: Widget) -> JSON:
    if not isinstance(widget, str):
        return widget
    match kind:
        case Kind.INTEGER | Kind.NUMBER:
            return _number(widget.strip())
        case Kind.JSON:
            try:
                return json.loads(widget)
            except (ValueError, RecursionError):
                return widget
        case Kind.TEXT | Kind.LONG_TEXT:
            return widget
        case _:
            return widget.strip()


def _number(text: str) -> JSON:
    if len(text) > LONGEST_NUMBER:
        return text
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    return text


def _text(value: JSON) -> str:
    if value is None or value is MISSING:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=_indent(value))


def _indent(value: JSON) -> int | None:
    return 2 if isinstance(value, dict | list) and value else None
