"""The interface of an agent to its worker: AgentContext for `async def`, SyncAgentContext for `def`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

from toolkit.context import AsyncToolContext, CallInfo, Link, ToolContext, current_path
from toolkit.errors import ToolError, ToolMisused
from toolkit.handler import CallTool, Found, Generate, Generated, ReadMessages, RunCalls
from toolkit.wire import JSON, plain

MAX_ROUNDS = 40
"""The maximum number of model calls of one `respond`."""
OWN = frozenset({"messages", "model", "tools", "stream", "stream_options", "n", "verbatim"})
"""Fields of a request that an agent may not set."""


class Message(TypedDict, total=False):
    """A message of the conversation, in OpenAI's format."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Any
    tool_calls: list[dict[str, Any]]
    tool_call_id: str
    name: str


@dataclass(frozen=True, init=False)
class Call:
    """A call of a tool: `Call("search_documents", query="parental leave")`."""

    name: str
    arguments: Mapping[str, JSON]
    id: str
    """The id of a call by the model; empty for a call that the agent made."""

    def __init__(self, name: str, /, **arguments: JSON) -> None:
        self._set(name, arguments, "")

    @classmethod
    def of_model(cls, id: str, name: str, arguments: Mapping[str, JSON] | None) -> "Call":
        """Returns a call that a model requests."""
        call = cls.__new__(cls)
        call._set(name, arguments or {}, id)
        return call

    def _set(self, name: str, arguments: Mapping[str, JSON], id: str) -> None:
        for attribute, value in (("name", name), ("arguments", arguments), ("id", id)):
            object.__setattr__(self, attribute, value)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A model's answer."""

    text: str
    calls: Sequence[Call] = ()
    """The tool calls that the model requests. `ctx.run(reply.calls)` runs them."""
    finish_reason: str = "stop"
    """In OpenAI's terms: `stop`, `tool_calls`, `length`, `content_filter`; or `too_long`."""
    input_tokens: int | None = None
    """None: the endpoint does not report tokens."""
    output_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a tool returned to the model."""

    call: Call
    text: str
    failed: bool = False


class _Answering:
    """The base of both contexts: the message, the answer's written text, and the order of checkpoints.

    A checkpoint is identified by its place: when the function runs again, its third checkpoint is again the third.
    """

    _link: Link
    _info: CallInfo
    settings: Mapping[str, Any] = {}
    """The agent's settings of this turn, by name."""
    _places: Counter[str]
    _writing: tuple[int, int] | None

    def _begin(self) -> None:
        self._places = Counter()
        self._writing = None

    @property
    def text(self) -> str:
        """The text of the message to answer."""
        return "" if self._info.turn is None else self._info.turn.text

    @property
    def now(self) -> datetime:
        """When the message was sent, in UTC. It is the same in every run of the function."""
        return datetime.fromtimestamp(0 if self._info.turn is None else self._info.turn.at, UTC)

    @property
    def tools(self) -> Sequence[str]:
        """Names of the tools that the agent's models may call."""
        return () if self._info.turn is None else self._info.turn.tools

    @property
    def indexed(self) -> bool:
        """Whether the conversation's index has documents."""
        return self._info.turn is not None and self._info.turn.indexed

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, in OpenAI's format, as a copy. Files are named by id."""
        within = current_path.get()
        asked = ReadMessages(within=within, place=self._places[within] + 1)
        found: Found = self._link.request(asked).result()
        return list(found.value)

    def write(self, text: str) -> None:
        """Add text to the answer. It streams at once, and is recorded with the next checkpoint."""
        if not isinstance(text, str):
            raise TypeError(f"an answer's text is a string, not a {type(text).__name__}: {text!r:.60}")
        if current_path.get():
            raise ToolError("An agent may not write inside of a step or part: return the text and write it afterwards.")
        if not text:
            return
        place, piece = self._writing or (self._next()[1], 0)
        self._link.write(text, place, piece)
        self._writing = place, piece + 1

    def _next(self, count: int = 1) -> tuple[str, int]:
        """Returns the part or step that runs now, and the place of its next checkpoint."""
        within = current_path.get()
        first = self._places[within] + 1
        self._places[within] += count
        if not within:
            self._writing = None
        return within, first

    def _step_path(self, name: str) -> str:
        if not name:
            raise ToolMisused("the step has no name")
        within, place = self._next()
        return _under(within, f"step:{place}")

    def _map_path(self, map_key: str) -> str:  # noqa: ARG002 - its place is its key
        within, place = self._next()
        return _under(within, f"map:{place}")

    def _generate(
        self,
        system: str,
        messages: Sequence[Message] | None,
        tools: Sequence[str | Mapping[str, Any]] | None,
        show: bool,
        model: str | None,
        parameters: Mapping[str, Any] | None,
    ) -> Generate:
        if isinstance(tools, str):
            raise TypeError(f"tools is {tools!r}: it is a list of names")
        if own := sorted(OWN.intersection(parameters or ())):
            raise ToolMisused(f"{own[0]!r} is not a parameter that an agent sets: generate has arguments for the rest")
        within, place = self._next()
        return Generate(
            within=within,
            place=place,
            system=system,
            messages=None if messages is None else plain(list(messages)),
            tools=None if tools is None else plain(list(tools)),
            show=show,
            model=model,
            parameters=plain(dict(parameters)) if parameters else None,
        )

    def _run(self, calls: Sequence[Call]) -> RunCalls:
        own = sum(not call.id for call in calls)
        within, place = self._next(own) if own else (current_path.get(), 0)
        told = [{"id": call.id, "name": call.name, "arguments": plain(dict(call.arguments))} for call in calls]
        return RunCalls(within=within, place=place, calls=told)

    def _call(self, name: str, arguments: Mapping[str, Any]) -> CallTool:
        within, place = self._next()
        return CallTool(within=within, place=place, name=name, arguments=plain(arguments))


class AgentContext(_Answering, AsyncToolContext):
    """For agents written as `async def`. It also has the features of a tool's context: files, storage, progress, logs.

    `generate`, `run`, `call`, `step` and `map` are checkpoints: when a process dies, the function runs again from its
    first line, and finished checkpoints return their recorded values. The code between them must be deterministic: put
    the clock, random numbers and code that reads the outside world into a `step`. Only `map` and `run` are concurrent.
    """

    def __init__(self, link: Link, info: CallInfo) -> None:
        super().__init__(link, info)
        self._begin()

    async def generate(
        self,
        system: str = "",
        *,
        messages: Sequence[Message] | None = None,
        tools: Sequence[str | Mapping[str, Any]] | None = None,
        show: bool = True,
        model: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Ask a model. Its text streams into the answer, and the reply is added to the conversation.

        messages: the input instead of the conversation; the reply is then not added to it. tools: names of tools to
        offer, and schemas (OpenAI's) of functions that the agent runs itself; None for the agent's tools. show: whether
        the text is part of the answer. parameters: chat completions parameters, passed on unchanged, such as
        `{"temperature": 0}`. Raises ToolError when the model fails.
        """
        return _reply(await self._ask(self._generate(system, messages, tools, show, model, parameters)))

    async def run(self, calls: Sequence[Call]) -> list[Result]:
        """Run tools in parallel, and add their results to the conversation. A failed tool's result is its error."""
        found: Found = await self._ask(self._run(calls))
        return _results(calls, found)

    async def respond(
        self,
        system: str = "",
        *,
        tools: Sequence[str | Mapping[str, Any]] | None = None,
        model: str | None = None,
        rounds: int = MAX_ROUNDS,
    ) -> Reply:
        """Ask a model and run the tools that it calls, until it calls no more tools: the loop of an assistant."""
        for _ in range(rounds):
            reply = await self.generate(system, tools=tools, model=model)
            if not reply.calls:
                return reply
            await self.run(reply.calls)
        raise _without_end(rounds)

    async def call(self, name: str, /, **arguments: JSON) -> JSON:
        """Run a tool, or another agent with `text=…` and settings, as a step. Returns its value, for an agent a string.

        Raises ToolError when it fails.
        """
        found: Found = await self._ask(self._call(name, arguments))
        return found.value


class SyncAgentContext(_Answering, ToolContext):
    """For agents written as `def`, which run in a thread: AgentContext, without `await`."""

    def __init__(self, link: Link, info: CallInfo) -> None:
        super().__init__(link, info)
        self._begin()

    def generate(
        self,
        system: str = "",
        *,
        messages: Sequence[Message] | None = None,
        tools: Sequence[str | Mapping[str, Any]] | None = None,
        show: bool = True,
        model: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Reply:
        """As AgentContext.generate."""
        return _reply(self._ask(self._generate(system, messages, tools, show, model, parameters)))

    def run(self, calls: Sequence[Call]) -> list[Result]:
        """As AgentContext.run."""
        return _results(calls, self._ask(self._run(calls)))

    def respond(
        self,
        system: str = "",
        *,
        tools: Sequence[str | Mapping[str, Any]] | None = None,
        model: str | None = None,
        rounds: int = MAX_ROUNDS,
    ) -> Reply:
        """As AgentContext.respond."""
        for _ in range(rounds):
            reply = self.generate(system, tools=tools, model=model)
            if not reply.calls:
                return reply
            self.run(reply.calls)
        raise _without_end(rounds)

    def call(self, name: str, /, **arguments: JSON) -> JSON:
        """As AgentContext.call."""
        found: Found = self._ask(self._call(name, arguments))
        return found.value


def _under(within: str, name: str) -> str:
    return f"{within}/{name}" if within else name


def _reply(generated: Generated) -> Reply:
    return Reply(
        text=generated.text,
        calls=tuple(Call.of_model(call["id"], call["name"], call["arguments"]) for call in generated.calls),
        finish_reason=generated.finish_reason,
        input_tokens=generated.input_tokens,
        output_tokens=generated.output_tokens,
    )


def _results(calls: Sequence[Call], found: Found) -> list[Result]:
    return [Result(call=call, **told) for call, told in zip(calls, found.value, strict=True)]


def _without_end(rounds: int) -> ToolError:
    return ToolError(f"The model called tools {rounds} times without finishing its answer.")
