"""Reads arguments as people type them, `years=30 tags=a,b title="two words"`, by the tool's parameters."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from toolkit.parameters import Kind, Parameter
from toolkit.wire import JSON

MAX_NUMBER = 60
"""Characters of a number. Users do not type more, and the error at Python's own limit is not meant for users."""
NAME = re.compile(r"(?<!\S)(\w+)=")
VALUE = re.compile(r"\"[^\"]*\"|'[^']*'|\S+")
ENTRY = r"(?:\"[^\"]*\"|'[^']*'|[^\s,]*)"
ENTRIES = re.compile(rf"(?=\S){ENTRY}(?:,{ENTRY})*")
"""The entries of a list, separated only by commas."""
BRACKETED = re.compile(r"\[[^\[\]\n]*\]")
"""A list as people write it, without the quotes of JSON: `[a, b]`."""
SPLIT = re.compile(r"\s*(?:\"[^\"]*\"|'[^']*')\s*(?=,|\Z)|[^,]+")
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The pairs in a text, and the rest."""

    texts: dict[str, list[str]]
    """By parameter, the text after each `name=`; `value_of` reads it."""
    rest: str
    """The text without the pairs."""

    def arguments(self, parameters: Iterable[Parameter]) -> dict[str, JSON]:
        return {one.name: value_of(one, self.texts[one.name]) for one in parameters if one.name in self.texts}


def find_pairs(text: str, parameters: Iterable[Parameter]) -> Pairs:
    """Finds the `name=value` pairs of known parameters anywhere in a text."""
    known = {one.name: one for one in parameters}
    texts: dict[str, list[str]] = {}
    rest, position, kept = "", 0, 0
    while name := NAME.search(text, position):
        parameter = known.get(name[1])
        position = _value_end(text, name.end(), parameter)
        if parameter is not None and position > name.end():
            value = text[name.end() : position]
            texts.setdefault(name[1], []).append(value if parameter.takes_many else _unquoted(value))
            rest, kept = rest + text[kept : name.start()], position
    return Pairs(texts=texts, rest=(rest + text[kept:]).strip())


def split_pair(word: str) -> tuple[str, str] | None:
    """Splits a word from a shell, which has removed the quotes. Returns None if it has no `=`."""
    name, equals, value = word.partition("=")
    return (name, value) if equals else None


def value_of(parameter: Parameter, texts: Sequence[str]) -> JSON:
    """Returns the argument: the last text unless the parameter takes several. An unreadable text stays as it is."""
    if not parameter.takes_many:
        return _one(parameter, texts[-1])
    if len(texts) == 1 and isinstance(whole := _whole_list(texts[0]), list):
        return whole
    if parameter.kind in (Kind.LIST, Kind.FILES):
        entries = [entry for text in texts for entry in split_entries(_without_brackets(text))]
        return [read_text(parameter.item, entry) for entry in entries]
    if len(texts) == 1 and parameter.schema.get("type") != "array":
        return _one(parameter, texts[0])  # the parameter also takes a single value
    return [read_text(Kind.JSON, text) for text in texts]


def split_entries(text: str) -> list[str]:
    """Returns the entries of a list: `a,"b, c"` has two."""
    return [_unquoted(one.strip()) for one in SPLIT.findall(text) if one.strip()]


def read_text(kind: Kind | None, text: str) -> JSON:
    """Returns the value of a text for this kind of parameter; an unreadable text stays, for the check to name."""
    match kind:
        case Kind.INTEGER | Kind.NUMBER:
            return _number(text.strip())
        case Kind.JSON:
            return _json(text)
        case Kind.TEXT | Kind.LONG_TEXT:
            return text
        case _:
            return text.strip()


def object_in(text: str) -> Mapping[str, JSON] | None:
    """Returns the JSON object in the text, or None if the text is something else."""
    value = _json(text) if text.startswith("{") else None
    return value if isinstance(value, dict) else None


def _value_end(text: str, begin: int, parameter: Parameter | None) -> int:
    """Returns the end of the value at `begin`, or `begin` if there is none."""
    if parameter is None or not parameter.takes_many:
        value = VALUE.match(text, begin)
    elif text.startswith("[", begin):
        return _list_end(text, begin)
    else:
        value = ENTRIES.match(text, begin)
    return begin if value is None else value.end()


def _list_end(text: str, begin: int) -> int:
    try:
        _, end = json.JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):
        value = BRACKETED.match(text, begin) or VALUE.match(text, begin)
        return begin if value is None else value.end()
    return end


def _one(parameter: Parameter, text: str) -> JSON:
    if text == "null" and parameter.nullable and parameter.kind not in (Kind.TEXT, Kind.LONG_TEXT):
        return None
    if parameter.schema.get("type") == "boolean":
        return BOOLEANS.get(text.lower(), text)
    if parameter.kind is Kind.CHOICE:
        return next((option.value for option in parameter.options if option.label == text), text)
    return read_text(parameter.kind, text)


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text


def _without_brackets(text: str) -> str:
    text = text.strip()
    return text[1:-1] if BRACKETED.fullmatch(text) else text


def _whole_list(text: str) -> JSON:
    return _json(text) if text.lstrip().startswith("[") else None


def _json(text: str) -> JSON:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _number(text: str) -> JSON:
    if len(text) > MAX_NUMBER:
        return text
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    return text
