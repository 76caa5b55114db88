"""Reads a tool's arguments from a command's text and files, before its form opens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from handlers.forms.form import ToolForm
from jobs import JSON
from toolkit.parameters import TEXTS, Parameter, arguments_of_files
from toolkit.typed import find_pairs, object_in, value_of


def prefill(form: ToolForm, text: str, attached: Sequence[str]) -> dict[str, JSON]:
    """Returns the arguments: a JSON object or `name=value` pairs in the text, else the text itself; and the file ids.

    Submitting the form checks them.
    """
    return arguments_of_files(attached, form.fields) | _of_text(form, text.strip())


def _of_text(form: ToolForm, text: str) -> dict[str, JSON]:
    names = {field.name for field in form.fields}
    if (given := object_in(text)) is not None and given.keys() & names:
        return {name: value for name, value in given.items() if name in names}
    pairs = find_pairs(text, form.fields)
    found = pairs.arguments(form.fields)
    if pairs.rest and (field := _for_words(field for field in form.fields if field.name not in found)) is not None:
        found[field.name] = value_of(field, [pairs.rest])
    return found


def _for_words(fields: Iterable[Parameter]) -> Parameter | None:
    """Returns the first required text field, else any text field, else any required field that can be typed."""
    typed = [field for field in fields if not field.takes_files]
    words = [field for field in typed if field.kind in TEXTS]
    needed = [field for field in typed if field.required]
    return next(iter([field for field in words if field.required] + words + needed), None)
