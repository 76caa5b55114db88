"""Checks arguments against the JSON Schema of an MCP server's tool."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped]
from jsonschema.protocols import Validator  # type: ignore[import-untyped]
from jsonschema.validators import validator_for  # type: ignore[import-untyped]
from referencing import Registry
from referencing.exceptions import Unresolvable

from toolkit.arguments import MAX_PATH, MAX_PROBLEMS, Checked, invalid
from toolkit.errors import ToolError
from toolkit.wire import JSON

MAX_REASON = 200


class SchemaParameters:
    """The parameters of a tool of which only the schema is known."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Raises jsonschema's SchemaError for an invalid schema."""
        kind = validator_for(schema)
        kind.check_schema(schema)
        # An empty registry: jsonschema must not fetch what the schema refers to.
        self._validator: Validator = kind(schema, registry=Registry())

    def check(self, arguments: Mapping[str, JSON]) -> Checked:
        """Returns the arguments unchanged. Raises ToolArgumentsInvalid, or ToolError when the schema cannot be used."""
        fields: dict[str, str] = {}
        try:
            for error in self._validator.iter_errors(dict(arguments)):
                for path, sentence in _sentences(error):
                    fields.setdefault(path[:MAX_PATH], sentence)
                if len(fields) >= MAX_PROBLEMS:
                    break
        except (Unresolvable, RecursionError) as error:
            raise ToolError("The tool describes its arguments in a way that cannot be checked.") from error
        if fields:
            raise invalid(fields)
        return Checked(values=dict(arguments), files=[])


def _sentences(error: ValidationError) -> Iterator[tuple[str, str]]:
    above = [str(part) for part in error.absolute_path]
    match error.validator:
        case "required":
            for name in error.validator_value:
                if name not in error.instance:
                    path = ".".join([*above, name])
                    yield path, f"The argument {path[:MAX_PATH]!r} is missing."
        case "additionalProperties" if error.validator_value is False:
            known = error.schema.get("properties", {})
            for name in error.instance:
                if name not in known:
                    path = ".".join([*above, name])
                    told = ", ".join(known) or "none"
                    yield path, f"There is no argument {path[:MAX_PATH]!r} (known: {told[:MAX_REASON]})."
        case _:
            path = ".".join(above) or "arguments"
            yield path, f"The argument {path[:MAX_PATH]!r} is wrong: {_reason(error)}."


def _reason(error: ValidationError) -> str:
    return error.message if len(error.message) <= MAX_REASON else f"{error.message[: MAX_REASON - 1]}…"
