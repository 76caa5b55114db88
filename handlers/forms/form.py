"""A tool's form: its fields, what they show, and the arguments read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.forms.widget import Widget, read, show
from jobs import JSON
from toolkit.parameters import MISSING, Kind, Parameter, file_ids, parameters_of
from toolkit.problems import GENERAL, number, problems_of

BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}


@dataclass(frozen=True, kw_only=True)
class Filled:
    """The arguments read from a submitted form."""

    arguments: dict[str, JSON]
    problems: dict[str, str]
    """By parameter, a sentence; empty when all arguments are valid."""


class ToolForm:
    """The form of one tool of the catalogue."""

    def __init__(self, name: str, description: str, schema: Mapping[str, Any]) -> None:
        self.name = name
        self.description = description
        self.schema = schema
        self._source = (name, description, schema)
        self.fields: Sequence[Parameter] = parameters_of(schema)

    @classmethod
    def of(cls, tool: Mapping[str, JSON]) -> ToolForm:
        """Returns the form of a tool in the catalogue."""
        return cls(tool["name"], str(tool.get("description") or ""), tool.get("parameters") or {})

    @classmethod
    def unknown(cls, name: str, arguments: Mapping[str, JSON]) -> ToolForm:
        """Returns a form for a tool that no worker has offered; it can only show submitted arguments."""
        return cls(name, "", {"properties": {one: {} for one in arguments}})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ToolForm) and self._source == other._source

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def headline(self) -> str:
        """The first line of the description."""
        lines = self.description.strip().splitlines()
        return lines[0].strip() if lines else ""

    @property
    def takes_files(self) -> bool:
        return any(field.takes_files for field in self.fields)

    def props(self, arguments: Mapping[str, JSON]) -> list[dict[str, Any]]:
        """Returns the fields for the page, filled with the arguments, else with the defaults."""
        return [_props(field, arguments.get(field.name, field.default)) for field in self.fields]

    def read(self, widgets: Mapping[str, Widget]) -> Filled:
        """Reads and checks what the page sent. A field it did not send is empty."""
        given = {field.name: read(field, widgets.get(field.name)) for field in self.fields}
        arguments = {name: value for name, value in given.items() if value is not MISSING}
        return Filled(arguments=arguments, problems=problems_of(arguments, self.schema))

    def at_fields(self, problems: Mapping[str, str], otherwise: str) -> dict[str, str]:
        """Assigns sentences, given by path (`items.3.name`), to their fields; the first other one goes to the form."""
        names = {field.name for field in self.fields}
        placed: dict[str, str] = {}
        for path, sentence in problems.items():
            head = path.split(".", 1)[0]
            placed.setdefault(head if head in names else GENERAL, sentence)
        return placed or {GENERAL: otherwise}

    def file_ids(self, arguments: Mapping[str, JSON]) -> list[tuple[str, str]]:
        """Returns the files that the arguments name, each with its field."""
        return file_ids(arguments, self.fields)


def _props(field: Parameter, value: JSON) -> dict[str, Any]:
    props: dict[str, Any] = {
        "name": field.name,
        "label": field.title,
        "kind": field.kind.value,
        "description": field.description,
        "hint": _hint(field),
        "required": field.required,
        "value": show(field, None if value is MISSING else value),
    }
    if field.kind is Kind.CHOICE:
        props["options"] = [option.label for option in field.options]
        props["optional"] = field.nullable or (not field.required and field.default is MISSING)
    return props


def _hint(field: Parameter) -> str:
    """Returns the required format of a value, if the field does not show it."""
    if field.kind in (Kind.INTEGER, Kind.NUMBER):
        bounds = [BOUNDS[name].format(number(bound)) for name, bound in field.bounds.items()]
        return f"{' and '.join(bounds).capitalize()}." if bounds else ""
    return {Kind.LIST: "One entry per line.", Kind.JSON: "Written as JSON."}.get(field.kind, "")
