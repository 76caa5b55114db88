"""A parameter's field on the page: shows a value in it, and reads the value from it."""

from __future__ import annotations

from typing import Any

from jobs import JSON
from toolkit.parameters import MISSING, TEXTS, Kind, Parameter, text_of
from toolkit.typed import read_text

Widget = Any
"""The content of a field on the page: text, a bool for a checkbox, or a list of file ids."""


def show(parameter: Parameter, value: JSON) -> Widget:
    """Returns the field's content for a value; a value of another type is shown unchanged."""
    match parameter.kind:
        case Kind.BOOLEAN:
            return value is True
        case Kind.CHOICE:
            return next((str(i) for i, option in enumerate(parameter.options) if same(option.value, value)), "")
        case Kind.FILES:
            ids = value if isinstance(value, list) else [value]
            return [one for one in ids if isinstance(one, str)]
        case Kind.LIST if isinstance(value, list):
            return "\n".join(text_of(one) for one in value)
        case _:
            return text_of(value)


def read(parameter: Parameter, widget: Widget) -> JSON:
    """Returns the argument, or MISSING for an empty field. Unreadable content stays as it is, to be reported."""
    if (isinstance(widget, str) and not widget.strip()) or widget is None or widget == []:
        return _empty(parameter)
    if not isinstance(widget, str):
        return widget
    if parameter.kind is Kind.CHOICE:
        return parameter.options[int(widget)].value if _is_option(parameter, widget) else widget
    if parameter.kind is Kind.LIST:
        return [read_text(parameter.item, line.strip()) for line in widget.splitlines() if line.strip()]
    return read_text(parameter.kind, widget)


def same(one: JSON, other: JSON) -> bool:
    """Returns whether two values are equal as JSON, where 1 is not true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _empty(parameter: Parameter) -> JSON:
    if parameter.default is MISSING or parameter.default is None:
        return MISSING
    if parameter.nullable:
        return None
    if parameter.kind in (Kind.LIST, Kind.FILES):
        return []
    return "" if parameter.kind in TEXTS else MISSING


def _is_option(parameter: Parameter, widget: str) -> bool:
    return widget.isascii() and widget.isdigit() and int(widget) < len(parameter.options)
