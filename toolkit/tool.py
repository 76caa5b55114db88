"""`@tool`: one typed Python function becomes a tool."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import UnionType
from typing import Any, Generic, ParamSpec, TypeVar, get_args, overload

from pydantic.errors import PydanticUserError

from toolkit.arguments import Check, Parameters, annotations_of
from toolkit.catalogue import RunIn, ToolSpec
from toolkit.context import AsyncToolContext, CallInfo, Link, ToolContext
from toolkit.errors import ToolDefinitionError

P = ParamSpec("P")
R = TypeVar("R")

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool(Generic[P, R]):
    """A function with its parameters and its spec. Calling the tool calls the function."""

    function: Callable[P, R]
    parameters: Check
    spec: ToolSpec
    is_async: bool
    partial: Callable[..., object] | None = None
    """Called when the tool was stopped, with those arguments that it declares; saves the finished work."""
    context: Callable[[Link, CallInfo], object] = ToolContext
    """Creates the function's context."""

    @property
    def name(self) -> str:
        """The name under which the tool is offered."""
        return self.spec.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    run_in: RunIn | None = None,
    timeout_seconds: float | None = None,
    memory_mb: int | None = None,
    name: str | None = None,
    partial: Callable[..., object] | None = None,
    limits: Sequence[str] = (),
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    run_in: RunIn | None = None,
    timeout_seconds: float | None = None,
    memory_mb: int | None = None,
    name: str | None = None,
    partial: Callable[..., object] | None = None,
    limits: Sequence[str] = (),
) -> Any:
    """Make a function a tool.

    run_in: by default, `def` runs in a thread and `async def` on the event loop of a host that tools share; "process"
    runs each call in a separate process, for CPU-bound work. timeout_seconds: the time limit of a call. memory_mb: the
    memory that the call may allocate (process only). name: by default the function's name. The docstring is the
    description. partial: a function with the context and any of the tool's parameters. It is called after Stop and has
    10 s to save the finished work: finished steps, parts and completions are read back, others raise NotFinished
    (`map` leaves them out). limits: names of parameters that only limit how far a call may go, such as a budget: a
    retry with other values has the same idempotency key. Raises ToolDefinitionError if the function cannot be a tool.
    """

    def make(function: Callable[..., Any]) -> Tool[..., Any]:
        try:
            made = _make(function, name or function.__name__, run_in, timeout_seconds, memory_mb)
            made = _with_limits(made, limits)
            return made if partial is None else _with_partial(made, partial)
        except (ToolDefinitionError, PydanticUserError, NameError) as error:
            raise ToolDefinitionError(f"the tool {function.__name__!r}: {error}") from error

    return make if function is None else make(function)


def _make(
    function: Callable[..., Any], name: str, run_in: RunIn | None, timeout_seconds: float | None, memory_mb: int | None
) -> Tool[..., Any]:
    is_async = inspect.iscoroutinefunction(function)
    run_in = _chosen_run_in(run_in, is_async)
    _check_options(name, timeout_seconds, memory_mb, run_in)
    context, rest = _split(function, is_async)
    parameters = Parameters(function, rest)
    spec = ToolSpec(
        name=name,
        description=inspect.getdoc(function) or name.replace("_", " "),
        parameters=parameters.schema(),
        run_in=run_in,
        timeout_seconds=timeout_seconds,
        memory_mb=memory_mb,
        takes_context=context,
    )
    made = AsyncToolContext if is_async else ToolContext
    return Tool(function=function, parameters=parameters, spec=spec, is_async=is_async, context=made)


def _with_limits(tool: Tool[..., Any], limits: Sequence[str]) -> Tool[..., Any]:
    known = inspect.signature(tool.function).parameters
    for name in limits:
        if isinstance(limits, str) or name not in known:
            raise ToolDefinitionError(f"limits has {name!r}: it is a list of names of the tool's parameters")
    return replace(tool, spec=replace(tool.spec, limits=tuple(limits)))


def _with_partial(tool: Tool[..., Any], partial: Callable[..., object]) -> Tool[..., Any]:
    name = partial.__name__
    if inspect.iscoroutinefunction(partial) != tool.is_async:
        raise ToolDefinitionError(f"its partial {name!r} must be `async def` if the tool is, and only then")
    has_context, parameters = _split(partial, tool.is_async)
    if not (has_context and tool.spec.takes_context):
        raise ToolDefinitionError(f"the tool and its partial {name!r} must take a context, by which the work is found")
    known = inspect.signature(tool.function).parameters
    for parameter in parameters:
        if parameter.name not in known:
            raise ToolDefinitionError(f"its partial {name!r} takes {parameter.name!r}, which the tool does not")
    return replace(tool, partial=partial, spec=replace(tool.spec, has_partial=True))


def _chosen_run_in(run_in: RunIn | None, is_async: bool) -> RunIn:
    if run_in is None:
        return "loop" if is_async else "thread"
    if run_in not in get_args(RunIn):
        raise ToolDefinitionError(f"run_in is {run_in!r}: it is 'thread', 'process' or 'loop'")
    if run_in == "thread" and is_async:
        raise ToolDefinitionError("an `async def` cannot run in a thread: leave run_in out, or make it `def`")
    if run_in == "loop" and not is_async:
        raise ToolDefinitionError("a `def` would block the loop: leave run_in out, or make it `async def`")
    return run_in


def _check_options(name: str, timeout_seconds: float | None, memory_mb: int | None, run_in: RunIn) -> None:
    if not NAME.fullmatch(name):
        raise ToolDefinitionError(f"the name {name!r} has characters other than letters, digits, '_' and '-'")
    if not _is_number(timeout_seconds, float | int):
        raise ToolDefinitionError(f"timeout_seconds is {timeout_seconds!r}: it is a number of seconds")
    if not _is_number(memory_mb, int):
        raise ToolDefinitionError(f"memory_mb is {memory_mb!r}: it is a whole number of megabytes")
    if timeout_seconds is not None and not timeout_seconds > 0:
        raise ToolDefinitionError(f"timeout_seconds is {timeout_seconds!r}: it must be above 0")
    if memory_mb is not None and (memory_mb <= 0 or run_in != "process"):
        raise ToolDefinitionError("memory_mb needs run_in='process' and a number above 0")


def _is_number(value: object, kinds: type | UnionType) -> bool:
    return value is None or (isinstance(value, kinds) and not isinstance(value, bool))


def _split(function: Callable[..., Any], is_async: bool) -> tuple[bool, list[inspect.Parameter]]:
    """Returns whether the first parameter is the context, and the parameters that callers pass."""
    parameters = list(inspect.signature(function).parameters.values())
    hints = annotations_of(function)
    for position, parameter in enumerate(parameters):
        if hints.get(parameter.name) in (ToolContext, AsyncToolContext):
            _check_context(position, parameter.name, hints[parameter.name], is_async)
    has_context = bool(parameters) and hints.get(parameters[0].name) in (ToolContext, AsyncToolContext)
    return has_context, parameters[1:] if has_context else parameters


def _check_context(position: int, name: str, given: type, is_async: bool) -> None:
    if position > 0:
        raise ToolDefinitionError(f"the context {name!r} must be the first parameter, and the only one of its type")
    if is_async and given is ToolContext:
        raise ToolDefinitionError("it is `async def` and takes ToolContext: take AsyncToolContext, or make it `def`")
    if not is_async and given is AsyncToolContext:
        raise ToolDefinitionError("it is `def` and takes AsyncToolContext: take ToolContext, or make it `async def`")
