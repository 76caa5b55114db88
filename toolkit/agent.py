"""`@agent`: one typed Python function answers the messages of a conversation."""

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar, cast, overload

from pydantic.errors import PydanticUserError

from toolkit.agent_context import AgentContext, SyncAgentContext
from toolkit.arguments import Parameters, annotations_of
from toolkit.catalogue import AgentSpec
from toolkit.errors import ToolDefinitionError
from toolkit.tool import NAME, Tool

P = ParamSpec("P")
R = TypeVar("R")

RESERVED = frozenset(
    {"messages", "text", "input", "files", "door", "detached", "response", "client_tools", "continues"}
)
"""Arguments that callers may send in addition to an agent's settings."""
CONTEXTS = (AgentContext, SyncAgentContext)


class Agent(Tool[P, R]):
    """An agent's function with its settings and its spec. Calling the agent calls the function."""


@overload
def agent(function: Callable[P, R], /) -> Agent[P, R]: ...


@overload
def agent(
    *,
    tools: Sequence[str] | None = None,
    starters: Sequence[str] = (),
    name: str | None = None,
    default: bool = False,
    timeout_seconds: float | None = None,
) -> Callable[[Callable[P, R]], Agent[P, R]]: ...


def agent(
    function: Callable[..., Any] | None = None,
    /,
    *,
    tools: Sequence[str] | None = None,
    starters: Sequence[str] = (),
    name: str | None = None,
    default: bool = False,
    timeout_seconds: float | None = None,
) -> Any:
    """Make a function an agent: it answers a conversation's newest message with the text that it writes and generates.

    The first parameter is the context; the others, each with a default, are the agent's settings, which people choose.
    `async def` runs on the event loop of a host that agents share, `def` in a thread. The strings that a generator
    yields, or a returned string, are added to the answer. The docstring is the description.

    tools: names of the tools that its models may call; None for all. starters: messages that the page suggests in a new
    conversation. name: by default the function's name. default: whether it replaces the built-in `assistant` as the
    agent that answers if none was chosen. timeout_seconds: the time limit of a turn. Raises ToolDefinitionError if the
    function cannot be an agent.
    """

    def make(function: Callable[..., Any]) -> Agent[..., Any]:
        try:
            return _make(function, name or function.__name__, tools, starters, default, timeout_seconds)
        except (ToolDefinitionError, PydanticUserError, NameError) as error:
            raise ToolDefinitionError(f"the agent {function.__name__!r}: {error}") from error

    return make if function is None else make(function)


def _make(
    function: Callable[..., Any],
    name: str,
    tools: Sequence[str] | None,
    starters: Sequence[str],
    default: bool,
    timeout_seconds: float | None,
) -> Agent[..., Any]:
    _check(name, tools, starters, timeout_seconds)
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    settings = _settings(function, is_async=is_async)
    parameters = Parameters(function, settings)
    description = inspect.getdoc(function)
    if not description:
        raise ToolDefinitionError("it has no docstring: say in one line what it does, for people who choose an agent")
    spec = AgentSpec(
        name=name,
        description=description,
        parameters=parameters.schema(),
        run_in="loop" if is_async else "thread",
        timeout_seconds=timeout_seconds,
        tools=None if tools is None else tuple(tools),
        starters=tuple(starters),
        is_default=default,
    )
    return Agent(
        function=_on_loop(function) if is_async else _in_thread(function),
        parameters=parameters,
        spec=spec,
        is_async=is_async,
        context=AgentContext if is_async else SyncAgentContext,
    )


def _check(name: str, tools: Sequence[str] | None, starters: Sequence[str], timeout_seconds: float | None) -> None:
    if not NAME.fullmatch(name):
        raise ToolDefinitionError(f"the name {name!r} has characters other than letters, digits, '_' and '-'")
    for option, values in (("tools", tools or ()), ("starters", starters)):
        if isinstance(values, str) or not all(isinstance(value, str) for value in values):
            raise ToolDefinitionError(f"{option} is {values!r}: it is a list of strings")
    if timeout_seconds is not None and timeout_seconds <= 0:
        raise ToolDefinitionError(f"timeout_seconds is {timeout_seconds!r}: it must be above 0")


def _settings(function: Callable[..., Any], *, is_async: bool) -> list[inspect.Parameter]:
    """Returns the parameters after the context."""
    parameters = list(inspect.signature(function).parameters.values())
    hints = annotations_of(function)
    if not parameters or hints.get(parameters[0].name) not in CONTEXTS:
        raise ToolDefinitionError("its first parameter must be the context: `ctx: AgentContext`")
    if is_async and hints[parameters[0].name] is SyncAgentContext:
        raise ToolDefinitionError("it is `async def` and takes SyncAgentContext: take AgentContext, or make it `def`")
    for setting in parameters[1:]:
        if setting.name in RESERVED:
            raise ToolDefinitionError(f"the setting {setting.name!r}: callers send something else under that name")
        if setting.default is inspect.Parameter.empty:
            raise ToolDefinitionError(f"the setting {setting.name!r} needs a default: the chat begins without asking")
    return parameters[1:]


def _on_loop(function: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(function)
    async def run(context: AgentContext, **settings: Any) -> None:
        context.settings = settings
        returned = function(context, **settings)
        if inspect.isasyncgen(returned):
            await _write_each(context, cast("AsyncIterator[str]", returned))
        else:
            _write_returned(context, await returned)

    return run


async def _write_each(context: AgentContext, pieces: AsyncIterator[str]) -> None:
    async for piece in pieces:
        context.write(piece)


def _in_thread(function: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(function)
    def run(context: SyncAgentContext, **settings: Any) -> None:
        context.settings = settings
        returned = function(context, **settings)
        for piece in _pieces(returned):
            context.write(piece)

    return run


def _pieces(returned: object) -> Iterable[str]:
    if isinstance(returned, Iterator):
        return cast("Iterator[str]", returned)
    return [] if returned is None else [cast("str", returned)]


def _write_returned(context: AgentContext, returned: object) -> None:
    if returned is not None:
        context.write(cast("str", returned))
