"""One attempt at a call: the Link between the context that the function has and the worker of the test."""

import asyncio
import contextvars
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from toolkit.agent import Agent
from toolkit.agent_context import Reply
from toolkit.catalogue import AgentSpec
from toolkit.context import CallInfo, current_path
from toolkit.errors import NotJson, RequestFailed, ToolError, ToolIncomplete
from toolkit.handler import (
    Asked,
    Begin,
    BeginStep,
    CallTool,
    Complete,
    Completed,
    DeleteRecord,
    EndStep,
    Found,
    Generate,
    Generated,
    GetRecord,
    LimitRate,
    ListRecords,
    OpenFile,
    PutRecord,
    ReadMessages,
    Recorded,
    RunCalls,
    SaveArtifact,
    Turn,
)
from toolkit.testing.script import Prompt
from toolkit.testing.worker import Checkpoint, Kind, Worker, content_of, is_tool, value_of
from toolkit.tool import Tool
from toolkit.wire import JSON, plain

BETWEEN_TEXTS = "\n\n"
SENT_AT = 1_700_000_000.0
"""Unix seconds at which the messages of tests were sent."""
MAX_RECORD_BYTES = 1_000_000
"""Of a value in `ctx.records`, as a worker has it."""
NOT_RUN = "(This call was not run.)"

Message = dict[str, Any]


class Crash(BaseException):
    """The attempt ends here, as if its machine had died. `except Exception` lets it pass."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a call says it has used."""

    title: str
    url: str | None = None
    file: str | None = None
    """The file's name in the test."""
    page: int | None = None


@dataclass(kw_only=True)
class _Said:
    """A message of a model with tool calls, and the results so far."""

    message: Message
    results: dict[str, str]

    def messages(self) -> list[Message]:
        calls = self.message.get("tool_calls", ())
        return [self.message, *(_result(call, self.results.get(call["id"], NOT_RUN)) for call in calls)]


class Attempt:
    """Runs a tool or agent from its first line."""

    def __init__(
        self,
        tool: Tool[..., Any],
        worker: Worker,
        info: CallInfo,
        *,
        history: Sequence[Mapping[str, JSON]] = (),
        crash_after: int | None = None,
    ) -> None:
        self._tool = tool
        self._worker = worker
        self._info = info
        self._loop = asyncio.get_running_loop()
        self._crash_after = crash_after
        self._is_agent = isinstance(tool, Agent)
        self._history: list[Message] = [dict(message) for message in history]
        if info.turn is not None:
            self._history.append({"role": "user", "content": info.turn.text})
        self._said: dict[tuple[str, int], _Said] = {}
        self._calls: dict[str, tuple[_Said, Mapping[str, JSON], str]] = {}  # of models: by id, with their paths
        self._texts: dict[int, str] = {}
        self._of_models: set[int] = set()
        self._names: dict[str, str] = {}  # of steps that run, by path
        self.crashed = False
        self.asked: set[str] = set()
        """Paths of all checkpoints that were begun or read back."""
        self.finished: list[str] = []
        """Paths of what ran to its end, in order."""
        self.steps: list[str] = []
        self.progress_reports: list[tuple[float, float | None, str]] = []
        self.lines: list[tuple[str, str]] = []
        self.items: list[tuple[str, str]] = []
        self.sources: list[Source] = []

    @property
    def text(self) -> str:
        """An agent's answer."""
        return "".join(self._texts[place] for place in sorted(self._texts))

    async def run(self, arguments: Mapping[str, JSON]) -> JSON:
        """Returns the value. Raises what the function raises, and Crash."""
        tool = self._tool
        checked = tool.parameters.check(arguments)
        for file in checked.files:
            file.found(self._worker.file(file.id))
        context = (tool.context(self, self._info),) if tool.spec.takes_context or self._is_agent else ()

        def call() -> Any:
            return tool.function(*context, **checked.values)

        value = await (call() if tool.is_async else asyncio.to_thread(call))
        if self.crashed:
            raise Crash
        try:
            return plain(value)
        except NotJson as error:
            raise ToolError(f"The result of the {tool.spec.kind} {tool.name} is not JSON: {error}.") from error

    # -- Link

    @property
    def cancelled(self) -> bool:
        return self.crashed

    def request(self, asked: Asked) -> "Future[Any]":
        """What calls the test's own functions runs on its loop; the rest is answered at once."""
        self._check()
        if isinstance(asked, Complete | Generate | RunCalls | CallTool):
            return asyncio.run_coroutine_threadsafe(self._in_own_context(self._later(asked)), self._loop)
        future: Future[Any] = Future()
        try:
            future.set_result(self._at_once(asked))
        except BaseException as error:  # noqa: BLE001 - also Crash
            future.set_exception(error)
        return future

    async def answer(self, request: "Future[Any]") -> Any:
        await asyncio.sleep(0)  # as in a host: others run meanwhile
        return await asyncio.wrap_future(request)

    def progress(self, done: float, total: float | None, message: str) -> None:
        self._check()
        self.progress_reports.append((done, total, message))

    def log(self, level: str, message: str) -> None:
        self._check()
        self.lines.append((level, message))

    def plan(self, items: Sequence[tuple[str, str]]) -> None:
        self._check()
        self.items = list(items)

    def source(self, title: str, *, url: str | None, file_id: str | None, page: int | None) -> None:
        self._check()
        self.sources.append(Source(title=title, url=url, file=file_id, page=page))

    def write(self, text: str, place: int, piece: int) -> None:
        self._check()
        if piece == 0:
            self._texts[place] = ""
            text = self._separator(place, text) + text
        self._texts[place] += text

    def interruptible(self) -> AbstractContextManager[None]:
        return nullcontext()

    # -- requests that are answered at once

    def _at_once(self, asked: Asked) -> Any:
        match asked:
            case BeginStep():
                return self._begin_step(asked)
            case EndStep():
                self._finish(asked.path, "step", self._names[asked.path], asked.output)
            case OpenFile():
                return self._worker.file(asked.file_id)
            case SaveArtifact():
                self._worker.save(asked.name, asked.path)
            case ReadMessages():
                return Found(value=self._messages(asked.within, asked.place))
            case PutRecord() | GetRecord() | DeleteRecord() | ListRecords():
                return self._record(asked)
            case Begin() | LimitRate():
                pass
        return None

    def _begin_step(self, asked: BeginStep) -> Recorded | None:
        if self._is_agent:
            self._expect_step(asked)
        recorded = self._read_back(asked.path)
        if recorded is not None:
            return Recorded(output=recorded.output)
        self._names[asked.path] = asked.name
        self.steps.append(asked.name)
        return None

    def _expect_step(self, asked: BeginStep) -> None:
        within, _, last = asked.path.rpartition("/")
        kind, _, number = last.partition(":")
        if kind == "step":
            self._worker.expect(within, int(number), "step", asked.name)
        else:  # a part: its map has the place
            above, _, here = within.rpartition("/")
            self._worker.expect(above, int(here.partition(":")[2]), "map", "")

    def _record(self, asked: PutRecord | GetRecord | DeleteRecord | ListRecords) -> Found | None:
        records = self._worker.records
        match asked:
            case PutRecord():
                if len(json.dumps(asked.value)) > MAX_RECORD_BYTES:
                    raise ToolError(f"The record has more than {MAX_RECORD_BYTES:,} bytes, which is the limit.")
                records[asked.key] = asked.value
                return Found(value=_version(asked.value))
            case GetRecord():
                return Found(value=records.get(asked.key))
            case DeleteRecord():
                records.pop(asked.key, None)
                return None
            case ListRecords():
                keys = [key for key in records if key.startswith(asked.prefix)]
                return Found(value=[[key, _version(records[key])] for key in keys])

    # -- requests that call the test's functions

    async def _in_own_context(self, serving: Coroutine[Any, Any, Any]) -> Any:
        """A tool that an agent calls has steps of its own."""
        context = contextvars.copy_context()
        context.run(current_path.set, "")
        return await asyncio.get_running_loop().create_task(serving, context=context)

    async def _later(self, asked: Complete | Generate | RunCalls | CallTool) -> Any:
        match asked:
            case Complete():
                return await self._complete(asked)
            case Generate():
                return await self._generate(asked)
            case RunCalls():
                return Found(value=[await self._run_call(one) for one in self._known(asked)])
            case CallTool():
                return Found(value=await self._call(asked))

    async def _complete(self, asked: Complete) -> Completed:
        prompt = Prompt(system=asked.instruction, messages=[{"role": "user", "content": asked.material}])
        output = await self._model(asked.path, "complete", prompt)
        return Completed(
            text=output["text"], input_tokens=output["input_tokens"], output_tokens=output["output_tokens"]
        )

    async def _generate(self, asked: Generate) -> Generated:
        self._worker.expect(asked.within, asked.place, "model", "")
        path = _under(asked.within, f"model:{asked.place}")
        if asked.messages is None:
            messages = self._messages(asked.within, asked.place)
        else:
            messages = [dict(message) for message in asked.messages]
        offered = self._offered if asked.tools is None else [_name_of(tool) for tool in asked.tools]
        prompt = Prompt(
            system=asked.system,
            messages=messages,
            tools=offered,
            model=asked.model,
            parameters=asked.parameters or {},
        )
        output = await self._model(path, "model", prompt)
        calls = [
            {**call, "id": f"call_{path.replace('/', '_').replace(':', '')}_{index}"}
            for index, call in enumerate(output["calls"])
        ]
        self._take(path, asked, output["text"], calls)
        return Generated(
            text=output["text"],
            calls=calls,
            finish_reason=output["finish_reason"],
            input_tokens=output["input_tokens"],
            output_tokens=output["output_tokens"],
        )

    async def _model(self, path: str, kind: Kind, prompt: Prompt) -> dict[str, Any]:
        async def ask() -> JSON:
            return _told(await self._worker.script.ask(prompt, lambda: self.crashed))

        output: dict[str, Any] = await self._once(path, kind, "", ask)
        return output

    def _take(self, path: str, asked: Generate, text: str, calls: Sequence[Mapping[str, JSON]]) -> None:
        if asked.show and not asked.within and text:
            self._texts[asked.place] = self._separator(asked.place) + text
            self._of_models.add(asked.place)
        said = _Said(message=_message(text, calls), results={})
        if asked.messages is None:
            self._said[asked.within, asked.place] = said
        for index, call in enumerate(calls):
            self._calls[str(call["id"])] = (said, call, f"{path}/call:{index}")

    def _known(self, asked: RunCalls) -> list[tuple[_Said, Mapping[str, JSON], str]]:
        found = []
        place = asked.place
        for call in asked.calls:
            if not call["id"]:
                found.append(self._own(asked.within, place, call))
                place += 1
            elif call["id"] in self._calls:
                found.append(self._calls[str(call["id"])])
            else:
                raise RequestFailed("There is no such call: run the calls of a reply, each as it came.", 0)
        return found

    def _own(self, within: str, place: int, call: Mapping[str, JSON]) -> tuple[_Said, Mapping[str, JSON], str]:
        self._worker.expect(within, place, "call", str(call["name"]))
        path = _under(within, f"call:{place}")
        named = {**call, "id": f"own_{path.replace('/', '_').replace(':', '')}"}
        said = self._said[within, place] = _Said(message=_message("", [named]), results={})
        return said, named, path

    async def _run_call(self, one: tuple[_Said, Mapping[str, JSON], str]) -> JSON:
        said, call, path = one

        async def run() -> JSON:
            try:
                value = await self._value(path, str(call["name"]), call["arguments"])
            except ToolIncomplete as end:
                text = f"Incomplete: {end.reason}. So far: {content_of(plain(end.result))}"
                return {"text": text, "failed": False}
            except ToolError as error:
                return {"text": f"Error: {error}", "failed": True}
            return {"text": content_of(value), "failed": False}

        output = await self._once(path, "call", str(call["name"]), run)
        said.results[str(call["id"])] = output["text"]
        return output

    async def _call(self, asked: CallTool) -> JSON:
        self._worker.expect(asked.within, asked.place, "call", asked.name)
        path = _under(asked.within, f"call:{asked.place}")
        return await self._once(path, "call", asked.name, lambda: self._value(path, asked.name, asked.arguments))

    async def _value(self, path: str, name: str, arguments: Mapping[str, JSON]) -> JSON:
        function = self._worker.tool(name)
        if not is_tool(function):
            return plain(await value_of(function, arguments))
        return await run_inner(function, self._worker.below(path), self._info, arguments)  # type: ignore[arg-type]

    # -- checkpoints

    async def _once(self, path: str, kind: Kind, name: str, run: Callable[[], Coroutine[Any, Any, JSON]]) -> JSON:
        """Returns what was recorded, or what runs now. Raises RequestFailed."""
        recorded = self._read_back(path)
        if recorded is not None and recorded.error is not None:
            raise RequestFailed(recorded.error, 0)
        if recorded is not None:
            return recorded.output
        try:
            output = await run()
        except ToolError as error:
            self._worker.recorded[path] = Checkpoint(kind=kind, name=name, output=None, error=str(error))
            raise RequestFailed(str(error), 0) from error
        except AssertionError as error:
            self._worker.failure = self._worker.failure or error
            raise
        self._check()
        self._finish(path, kind, name, output)
        return output

    def _read_back(self, path: str) -> Checkpoint | None:
        with self._worker.lock:
            self.asked.add(path)
            return self._worker.recorded.get(path)

    def _finish(self, path: str, kind: Kind, name: str, output: JSON) -> None:
        with self._worker.lock:
            self._check()
            self._worker.recorded[path] = Checkpoint(kind=kind, name=name, output=output)
            self.finished.append(path)
            self.crashed = len(self.finished) == self._crash_after
        self._check()

    def _check(self) -> None:
        if self.crashed:
            raise Crash

    # -- the conversation

    @property
    def _offered(self) -> Sequence[str]:
        return () if self._info.turn is None else self._info.turn.tools

    def _messages(self, within: str, place: int) -> list[Message]:
        """Returns the conversation before this place: what parts say stays among them."""
        scopes = [(within, place)]
        while scopes[0][0]:
            scopes.insert(0, _around(scopes[0][0]))
        found = list(self._history)
        for scope, end in scopes:
            for at in sorted(at for above, at in self._said if above == scope and at < end):
                found += self._said[scope, at].messages()
        return found

    def _separator(self, place: int, text: str = "") -> str:
        """Returns what stands between the text before and that of a model, or between a model's text and another."""
        before = [at for at in self._texts if at < place and self._texts[at]]
        if not before:
            return ""
        last = max(before)
        if text:
            return "" if last not in self._of_models or text[:1].isspace() else BETWEEN_TEXTS
        return "" if last not in self._of_models and self._texts[last].endswith("\n") else BETWEEN_TEXTS


async def run_inner(tool: Tool[..., Any], worker: Worker, info: CallInfo, arguments: Mapping[str, JSON]) -> JSON:
    """Runs a tool or another agent for an agent. Returns its value; an agent's is a text."""
    given = dict(arguments)
    if isinstance(tool, Agent):
        turn = turn_of(tool, str(given.pop("text", "")), tuple(worker.tools))
        attempt = Attempt(tool, worker, replace(info, turn=turn))
        await attempt.run(given)
        return attempt.text
    return await Attempt(tool, worker, replace(info, turn=None)).run(given)


def turn_of(agent: Agent[..., Any], text: str, tools: Sequence[str]) -> Turn:
    """Returns the message that the agent answers; it is offered those of the test's tools that it names."""
    named = agent.spec.tools if isinstance(agent.spec, AgentSpec) else None
    offered = tuple(name for name in tools if named is None or name in named)
    return Turn(text=text, at=SENT_AT, tools=offered)


def _told(reply: Reply) -> JSON:
    return {
        "text": reply.text,
        "calls": [{"name": call.name, "arguments": plain(dict(call.arguments))} for call in reply.calls],
        "finish_reason": reply.finish_reason,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
    }


def _message(text: str, calls: Sequence[Mapping[str, JSON]]) -> Message:
    message: Message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {
                "type": "function",
                "id": call["id"],
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
            }
            for call in calls
        ]
    return message


def _result(call: Mapping[str, Any], text: str) -> Message:
    return {"role": "tool", "name": call["function"]["name"], "tool_call_id": call["id"], "content": text}


def _name_of(tool: Any) -> str:
    return tool if isinstance(tool, str) else str(tool["function"]["name"])


def _around(within: str) -> tuple[str, int]:
    """Returns where a step or map stands, from the path inside of it: `map:2/part:0` is at place 2 of the top."""
    above, _, last = within.rpartition("/")
    if last.startswith("part:"):
        above, _, last = above.rpartition("/")
    return above, int(last.partition(":")[2])


def _under(within: str, name: str) -> str:
    return f"{within}/{name}" if within else name


def _version(value: JSON) -> str:
    return str(hash(json.dumps(value, sort_keys=True)))
