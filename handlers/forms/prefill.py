"""What a command's words and files say about the tool's arguments, before its form is opened."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from handlers.forms.field import Field, Kind
from handlers.forms.form import ToolForm
from jobs import JSON

PAIR = re.compile(r"(?<!\S)(\w+)=(\"[^\"]*\"|'[^']*'|\S+)")
WORDS = (Kind.TEXT, Kind.LONG_TEXT)


def prefill(form: ToolForm, text: str, attached: Sequence[str]) -> dict[str, JSON]:
    """Arguments: a JSON object or `name=value` pairs in the text, else the text itself; the attached files' ids.

    Whatever is wrong about them is said when the form is submitted.
    """
    return _of_files(form, attached) | _of_text(form, text.strip())


def _of_text(form: ToolForm, text: str) -> dict[str, JSON]:
    fields = {field.name: field for field in form.fields}
    if (given := _object(text)) is not None and given.keys() & fields.keys():
        return {name: value for name, value in given.items() if name in fields}
    found: dict[str, JSON] = {}
    for pair in PAIR.finditer(text):
        name, value = pair.groups()
        if name in fields:
            found[name] = _value(fields[name], value.strip("\"'"))
    rest = PAIR.sub(lambda pair: "" if pair.group(1) in fields else pair.group(), text).strip()
    if rest and (field := _for_words([field for field in form.fields if field.name not in found])) is not None:
        found[field.name] = _value(field, rest)
    return found


def _for_words(fields: Sequence[Field]) -> Field | None:
    """A text that is needed, else any text, else whatever else is needed and can be typed."""
    words = [field for field in fields if field.kind in WORDS]
    needed = [field for field in fields if field.required and field.kind not in (Kind.FILE, Kind.FILES)]
    return next(iter([field for field in words if field.required] + words + needed), None)


def _value(field: Field, text: str) -> JSON:
    if field.kind is Kind.CHOICE:
        return next((option.value for option in field.options if option.label == text), text)
    if field.kind is Kind.BOOLEAN:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower(), text)
    if field.kind is Kind.FILES:
        return [text]
    return field.read(text.replace(",", "\n") if field.kind is Kind.LIST else text)


def _of_files(form: ToolForm, attached: Sequence[str]) -> dict[str, JSON]:
    if not attached:
        return {}
    found: dict[str, JSON] = {field.name: list(attached) for field in form.fields if field.kind is Kind.FILES}
    return found | {field.name: attached[-1] for field in form.fields if field.kind is Kind.FILE}


def _object(text: str) -> dict[str, JSON] | None:
    try:
        value = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
