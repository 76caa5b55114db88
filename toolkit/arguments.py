"""Converts a function's parameters to JSON Schema, and a caller's JSON to the function's arguments."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import ErrorDetails, PydanticUndefined

from toolkit.errors import ToolArgumentsInvalid, ToolDefinitionError
from toolkit.schemas import described, inlined
from toolkit.uploads import UploadedFile
from toolkit.wire import JSON

MAX_PROBLEMS_SHOWN = 3
"""Problems in one error message; a form shows each at its field."""
MAX_PROBLEMS = 100
"""The maximum number of reported problems; a long list of wrong values has many."""
MAX_PATH = 200
UNSUPPORTED: dict[Any, str] = {
    inspect.Parameter.POSITIONAL_ONLY: "is positional-only",
    inspect.Parameter.VAR_POSITIONAL: "takes any number of values",
    inspect.Parameter.VAR_KEYWORD: "takes any names",
}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Arguments that fit the parameters."""

    values: dict[str, Any]
    """By parameter name, converted to the annotated types."""
    files: list[UploadedFile]
    """The uploaded files among the values, to be looked up before the call."""


class Check(Protocol):
    """The check of a call's arguments."""

    def check(self, arguments: Mapping[str, JSON]) -> Checked:
        """Returns the converted arguments. Raises ToolArgumentsInvalid."""


class Parameters:
    """The parameters of one function, without its context."""

    def __init__(self, function: Callable[..., Any], parameters: list[inspect.Parameter]) -> None:
        self._names = [parameter.name for parameter in parameters]
        self._docstring = function.__doc__ or ""
        hints = annotations_of(function)
        # Fields are called p0, p1 …: a parameter may be called `json` or `model_name`, which pydantic reserves.
        fields: dict[str, Any] = {f"p{i}": _field(parameter, hints) for i, parameter in enumerate(parameters)}
        self._model: type[BaseModel] = create_model(
            function.__name__, __base__=None, __config__=ConfigDict(extra="forbid"), **fields
        )
        for parameter in parameters:
            _check_default(parameter, hints[parameter.name])

    def schema(self) -> dict[str, Any]:
        """Returns the JSON Schema of the arguments."""
        schema = inlined(self._model.model_json_schema())
        schema.pop("title", None)
        return described(schema, self._docstring)

    def check(self, arguments: Mapping[str, JSON]) -> Checked:
        """Convert and check. Raises ToolArgumentsInvalid with a sentence that names the fields."""
        files: list[UploadedFile] = []
        try:
            model = self._model.model_validate(arguments, context={"files": files})
        except ValidationError as error:
            raise self._invalid(error) from error
        return Checked(values={name: getattr(model, f"p{i}") for i, name in enumerate(self._names)}, files=files)

    def _invalid(self, error: ValidationError) -> ToolArgumentsInvalid:
        problems = error.errors(include_url=False)
        fields: dict[str, str] = {}
        for problem in problems[:MAX_PROBLEMS]:
            fields.setdefault(_path(problem), self._sentence(problem))
        return invalid(fields)

    def _sentence(self, problem: ErrorDetails) -> str:
        path = _path(problem)
        if problem["type"] == "missing":
            return f"The argument {path!r} is missing."
        if problem["type"] == "extra_forbidden":
            known = ", ".join(self._names) or "none"
            return f"There is no argument {path!r} (the tool's arguments: {known})."
        got = repr(problem["input"])
        return f"The argument {path!r} is wrong: {_lower(problem['msg'])}, not {got[:60]}{'…' if got[60:] else ''}."


def invalid(fields: Mapping[str, str]) -> ToolArgumentsInvalid:
    """Returns the error for these problems, a sentence for each path."""
    return ToolArgumentsInvalid(" ".join(list(fields.values())[:MAX_PROBLEMS_SHOWN]), fields)


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the parameters' types. Skips the return type, which may name what only type checkers import."""
    named = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    holder = types.SimpleNamespace(__annotations__=named)
    namespace = getattr(function, "__globals__", {})
    return typing.get_type_hints(holder, globalns=namespace, include_extras=True)


def _field(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> tuple[Any, Any]:
    if problem := UNSUPPORTED.get(parameter.kind):
        raise ToolDefinitionError(f"the parameter {parameter.name!r} {problem}: a tool's parameters are plain names")
    if parameter.name not in hints:
        raise ToolDefinitionError(f"the parameter {parameter.name!r} has no type: annotate it")
    default = PydanticUndefined if parameter.default is inspect.Parameter.empty else parameter.default
    return hints[parameter.name], Field(default, alias=parameter.name)


def _check_default(parameter: inspect.Parameter, hint: Any) -> None:
    """None is accepted with any type, because authors write `limit: int = None`."""
    if parameter.default is inspect.Parameter.empty or parameter.default is None:
        return
    try:
        TypeAdapter(hint).validate_python(parameter.default)
    except ValidationError as error:
        reason = _lower(error.errors(include_url=False)[0]["msg"])
        raise ToolDefinitionError(
            f"the default of the parameter {parameter.name!r} is {parameter.default!r:.60}, which does not fit its "
            f"type: {reason}"
        ) from error


def _path(problem: ErrorDetails) -> str:
    return ".".join(str(part) for part in problem["loc"])[:MAX_PATH] or "arguments"


def _lower(message: str) -> str:
    plain = message.split(" after validation", 1)[0]  # "List should have at least 1 item after validation, not 0"
    return plain[:1].lower() + plain[1:].rstrip(".")
