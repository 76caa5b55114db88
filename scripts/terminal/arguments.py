"""A tool's arguments, read from shell words, `years=30 files=a.pdf,b.pdf`, by the tool's JSON Schema."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.terminal.server import Refused
from toolkit.parameters import FILE_KINDS, Kind, Parameter, parameters_of
from toolkit.typed import split_pair, value_of

Upload = Callable[[Path], str]
"""Stores a file. Returns its id."""


def read_arguments(words: Sequence[str], text: str | None, schema: Mapping[str, Any], upload: Upload) -> dict[str, Any]:
    """Returns the arguments of the words, on top of those of `text`, a JSON object.

    Uploads nothing before it has understood all words. Raises `Refused`.
    """
    arguments = _read_object(text)
    known = {one.name: one for one in parameters_of(schema)}
    read = {name: _value(known[name], texts) for name, texts in _texts(words, known).items()}
    uploaded = {name: _uploaded(value, upload) for name, value in read.items() if known[name].takes_files}
    return arguments | read | uploaded


def _read_object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refused("--json takes a JSON object, such as '{\"years\": 30}'.")
    return value


def _texts(words: Sequence[str], known: Mapping[str, Parameter]) -> dict[str, list[str]]:
    """Returns the texts of each argument, by its name."""
    texts: dict[str, list[str]] = {}
    for word in words:
        pair = split_pair(word)
        if pair is None or pair[0] not in known:
            names = ", ".join(f"{name}=…" for name in known) or "none"
            raise Refused(f"{word!r} is not an argument of the tool, whose arguments are: {names}.")
        texts.setdefault(pair[0], []).append(pair[1])
    return texts


def _value(parameter: Parameter, texts: Sequence[str]) -> Any:
    """Returns the value. The server checks values, but only this process can tell a missing file."""
    if len(texts) > 1 and not parameter.takes_many:
        raise Refused(f"{parameter.name} takes one value, not {len(texts)}.")
    if parameter.kind is Kind.FILES:
        texts = [_kept_whole(text) for text in texts]
    value = value_of(parameter, texts)
    if parameter.kind in FILE_KINDS:
        _check_files(parameter.name, value if isinstance(value, list) else [value])
    return value


def _kept_whole(text: str) -> str:
    """Returns the name of a file with a comma in quotes, so that the comma does not separate entries."""
    return f'"{text}"' if "," in text and Path(text).is_file() else text


def _check_files(name: str, files: Sequence[Any]) -> None:
    for one in files:
        if isinstance(one, str) and not one.startswith("file_") and not Path(one).is_file():
            raise Refused(f"{name}: there is no file {one!r}.")


def _uploaded(value: Any, upload: Upload) -> Any:
    if isinstance(value, list):
        return [_uploaded(one, upload) for one in value]
    return upload(Path(value)) if isinstance(value, str) and Path(value).is_file() else value
