"""Prepares JSON Schemas for forms, models and other programs: resolves references, adds descriptions."""

from collections.abc import Mapping
from typing import Any

import docstring_parser

FILE_ID = "file-id"
"""The `format` of a parameter that takes an uploaded file."""
FILE_WORDS = "The id of an uploaded file."
"""The description that models read; people choose a file by its name."""


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema with its definitions inlined. A definition that contains itself keeps its reference."""
    definitions = schema.get("$defs", {})
    whole: dict[str, Any] = _resolved({k: v for k, v in schema.items() if k != "$defs"}, definitions, ())
    if definitions and _refers(whole):
        whole["$defs"] = definitions
    return whole


def described(schema: dict[str, Any], docstring: str) -> dict[str, Any]:
    """Returns the schema with what the docstring says of parameters as the descriptions of fields that have none."""
    words = argument_words(docstring)
    properties = {
        name: {**field, "description": words[name]} if name in words and not own_words(field) else field
        for name, field in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties}


def argument_words(docstring: str) -> dict[str, str]:
    """Returns the description of each parameter, as one line. The style may be Google's, NumPy's or Sphinx's."""
    try:
        found = docstring_parser.parse(docstring)
    except docstring_parser.ParseError:
        return {}  # no known style
    return {one.arg_name: " ".join(one.description.split()) for one in found.params if one.description}


def own_words(field: Mapping[str, Any]) -> str:
    """Returns the author's description of a field, not the one that every file parameter has."""
    words = str(field.get("description", ""))
    return "" if field.get("format") == FILE_ID and words == FILE_WORDS else words


def referred(node: Mapping[str, Any]) -> str:
    """Returns the name of the definition that the node refers to; for another node, a name that no definition has."""
    return str(node.get("$ref", "")).removeprefix("#/$defs/")


def _resolved(node: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_resolved(item, definitions, within) for item in node]
    if not isinstance(node, dict):
        return node
    name = referred(node)
    if name not in definitions or name in within:
        return {key: _resolved(value, definitions, within) for key, value in node.items()}
    beside = {key: value for key, value in node.items() if key != "$ref"}
    target: dict[str, Any] = _resolved(definitions[name], definitions, (*within, name))
    return {**target, **_resolved(beside, definitions, within)}


def _refers(node: Any) -> bool:
    if isinstance(node, dict):
        return "$ref" in node or any(_refers(value) for value in node.values())
    return isinstance(node, list) and any(_refers(item) for item in node)
