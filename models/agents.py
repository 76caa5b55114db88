"""Agents on the worker's side: an agent's requests become steps of its job, which hold the conversation and its text.

An agent's function runs in a host and may have to start again. Repeated requests are then read back from the log by
their *place*: the function's third checkpoint is again the third.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal, NoReturn, assert_never

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
    convert_to_openai_messages,
)

from background import cancel_and_wait, run_together
from files.store import FileStore
from jobs.context import JobContext, Step
from jobs.errors import JobFailed, JobIncomplete, StepFailed
from jobs.models import JSON
from models.calls import storable
from models.history import Conversation, ai_message, content_of, read_conversation, tool_message
from models.models import Models
from models.patience import patience_of
from models.rates import Gate, book
from models.replies import CUT_OFF, OWN_CALL, TOO_LONG, ModelReply, Spent, ToolCall
from models.tools import JobCall, Toolbox, count_usage, error_code
from models.writing import BETWEEN_STEPS, Separated, Writing
from toolkit.catalogue import AgentSpec, ToolSpec
from toolkit.errors import ToolError, ToolIncomplete
from toolkit.handler import (
    ABANDONED,
    AskedOfAgent,
    CallTool,
    Found,
    Generate,
    Generated,
    ReadMessages,
    Recorded,
    RunCalls,
    Turn,
)
from toolkit.pool import HostPool

MAX_DEPTH = 5
"""The depth to which agents may call agents."""
MESSAGES_LEFT_OUT = "Earlier messages of this conversation were left out to fit the model's context."
NOT_RUN = "(This call was not run.)"
PROMPT_CHANGED = "The prompt has changed since the answer to it was recorded; the recorded answer is used."

Kind = Literal["model", "call", "text", "step", "map"]
NAMED: Mapping[Kind, str] = {
    "model": "a model call",
    "call": "a call of",
    "text": "text",
    "step": "the step",
    "map": "a map",
}
SEARCHED_FIRST = "search:1"
"""The automatic search, the first step of a turn in earlier versions; later steps were numbered without it."""


class HandedOver(Exception):
    """The model calls tools of the caller, who runs them and continues with another request."""


class Agents:
    """The agents of one worker."""

    def __init__(self, pool: HostPool, toolbox: Toolbox, models: Models, files: FileStore) -> None:
        self._pool = pool
        self.toolbox = toolbox
        self.models = models
        self.files = files
        self.gate = Gate()

    def spec(self, name: str) -> AgentSpec | None:
        spec = next((spec for spec in self._pool.catalogue if spec.name == name), None)
        return spec if isinstance(spec, AgentSpec) else None

    async def answer(self, ctx: JobContext, name: str) -> JSON:
        """Answers the job's message. Returns `{"text": …}`, the concatenation of the text deltas.

        If its model calls tools of the caller, `tool_calls` has these calls, and the caller continues from there.

        Raises `JobIncomplete` when a model reached its limit or the agent says so, `JobFailed` when the agent fails.
        """
        conversation = await read_conversation(ctx, self.files, max_tokens=self.models.settings.context_tokens)
        if ctx.job.is_new:
            await self._tell_first(ctx, conversation)
        spec = self.spec(name)
        if spec is None:
            raise JobFailed("agent_unknown", f"There is no agent {name!r}.")
        known = spec.parameters.get("properties", {})  # front ends store more in a turn's arguments
        settings = {key: value for key, value in ctx.job.request.arguments.items() if key in known}
        call = AgentCall(ctx, self, spec, conversation)
        text = ctx.job.request.input or ""
        with suppress(HandedOver):
            await self.run(call, settings, text)
        return call.result()

    async def run(self, call: AgentCall, settings: Mapping[str, JSON], text: str) -> None:
        """Runs the agent to its end."""
        ctx, spec = call.ctx, call.spec
        await self.toolbox.take_over(ctx)
        turn = Turn(
            text=text,
            at=ctx.job.created_at,
            tools=[tool.name for tool in call.offered],
            indexed=call.conversation.indexed,
        )
        context = self.toolbox.context(
            ctx, call.path, spec.name, settings, files=call.conversation.files, sites=call.conversation.sites, turn=turn
        )
        try:
            async with call:
                running = asyncio.ensure_future(self._pool.call(spec.name, dict(settings), context, call))
                try:
                    await asyncio.wait({running})
                except asyncio.CancelledError:
                    await call.stop_models()  # sent before the host has stopped, which may take a while
                    await cancel_and_wait(running)
                    raise
                running.result()
        except (ToolIncomplete, JobIncomplete) as end:
            raise JobIncomplete(end.reason, {"text": call.text}) from end
        except ToolError as error:
            if call.failure is not None:
                raise call.failure from error
            raise JobFailed(error_code(error).replace("tool_", "agent_"), str(error)) from error

    async def _tell_first(self, ctx: JobContext, conversation: Conversation) -> None:
        if conversation.trimmed:
            await ctx.log("info", MESSAGES_LEFT_OUT)
        if ctx.job.turn <= 1:
            for problem in (*self.toolbox.problems, *self._pool.problems):
                await ctx.log("warning", problem)


@dataclass(frozen=True, kw_only=True)
class _Said:
    """A message of a model with tool calls, and the results so far."""

    message: AIMessage
    results: dict[str, ToolMessage] = field(default_factory=dict)

    def messages(self) -> list[BaseMessage]:
        """Endpoints require a result for each call."""
        calls = self.message.tool_calls
        return [self.message, *(self.results.get(str(call["id"])) or _not_run(call) for call in calls)]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A tool call by a model, or by the agent itself."""

    call: ToolCall
    path: str
    parent: str | None
    said: _Said


class AgentCall(JobCall):
    """The worker's side of one run of an agent.

    Its host may be replaced by another one, in which the function starts again. This object then answers repeated
    requests, and a model that is still answering continues.
    """

    def __init__(
        self,
        ctx: JobContext,
        agents: Agents,
        spec: AgentSpec,
        conversation: Conversation,
        *,
        path: str = "",
        depth: int = 0,
        spent: Spent | None = None,
    ) -> None:
        super().__init__(ctx, path, agents.models, agents.files, agents.gate, spent or Spent())
        self.ctx = ctx
        self.spec = spec
        self.path = path
        self.conversation = conversation
        self.offered = _of_agent(spec, agents.toolbox.catalogue)
        offered = {tool.name for tool in self.offered}
        tools: Sequence[dict[str, Any]] = () if path else ctx.job.request.arguments.get("client_tools") or ()
        self._of_caller = {
            str(tool["function"]["name"]): tool for tool in tools if tool["function"]["name"] not in offered
        }
        self._handed_over: Sequence[ToolCall] = ()
        self.failure: Exception | None = None
        """Why the agent cannot continue, even if its code catches the error."""
        self._agents = agents
        self._depth = depth
        self._said: dict[tuple[str, int], _Said] = {}  # additions to the conversation, by place
        self._asked: dict[str, _Asked] = {}  # tool calls, by id
        self._replies: dict[str, asyncio.Task[Generated]] = {}  # models that are answering, by path
        self._calling: dict[str, asyncio.Task[ModelReply]] = {}
        self._abandoned: set[str] = set()
        self._counted: set[str] = set()
        self._texts: dict[int, str] = {}  # the parts of the answer, by place
        self._of_models: set[int] = set()  # the parts that a model wrote
        self._cut_off: tuple[int, str] | None = None  # where and why a model's text ended too early
        self._writing: Writing | None = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_models()
        if kind is None:
            await self._end_writing()
        else:  # not whole: the next attempt writes it again
            await self._leave_writing()
        await super().__aexit__(kind, error, trace)

    async def stop_models(self) -> None:
        await cancel_and_wait(*self._replies.values())

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._texts[place] for place in sorted(self._texts))

    def result(self) -> JSON:
        """Raises `JobIncomplete` when the answer's last text was cut off."""
        if self._cut_off is not None and self._cut_off[0] == max(self._texts, default=self._cut_off[0]):
            raise JobIncomplete(self._cut_off[1], {"text": self.text})
        if not self._handed_over:
            return {"text": self.text}
        calls = [call.for_caller(self._ctx.job.id, index) for index, call in enumerate(self._handed_over)]
        return {"text": self.text, "tool_calls": calls}

    # -- requests of the agent

    async def of_agent(self, asked: AskedOfAgent) -> Found | Generated:
        self._check_alive()
        if isinstance(asked, ReadMessages):
            messages = self._messages(asked.within, asked.place)
            return Found(value=convert_to_openai_messages(messages))
        await self._end_writing_before(asked.within, asked.place)
        match asked:
            case Generate():
                return await self._generate(asked)
            case RunCalls():
                return Found(value=await self._run(asked))
            case CallTool():
                return Found(value=await self._call(asked))
            case _:
                assert_never(asked)

    async def begin_step(self, path: str, name: str) -> Recorded | None:
        self._check_alive()
        within, place = _around(path)
        await self._end_writing_before(within, place)
        if path.rpartition("/")[2].startswith("step:"):
            self._expect(within, place, "step", name)
        else:
            self._expect(within, place, "map", "")
        return await super().begin_step(path, name)

    async def write(self, text: str, place: int, piece: int) -> None:
        self._check_alive()
        text = storable(text)
        if piece == 0:
            self._texts[place] = ""
            text = self._separator(place, text) + text
        if self.path:
            self._texts[place] += text
            return
        path = self._path_of("", place, "text")
        if self._ctx.recorded(path):
            self._texts[place] = await Writing.recorded(self._ctx, path)
            return
        self._expect("", place, "text", "")
        await self._write(path, place, piece, self._within_limit(text))

    async def _write(self, path: str, place: int, piece: int, text: str) -> None:
        if self._writing is None or self._writing.path != path:
            await self._end_writing()
            self._writing = await Writing(self._ctx, path, place).opened()
        elif piece == 0:  # the function runs again, in another host
            await self._writing.restart()
        self._texts[place] += text
        await self._writing.write(text)
        if self.failure is not None:
            raise self.failure

    def _within_limit(self, text: str) -> str:
        """Returns the part of the text that still fits the answer's limit."""
        room = self._models.settings.max_answer_bytes - len(self.text.encode())
        if len(text) <= room // 4 or len(text.encode()) <= room:
            return text
        self.failure = JobIncomplete(TOO_LONG, None)
        return text.encode()[: max(0, room)].decode("utf-8", "ignore")

    async def _end_writing_before(self, within: str, place: int) -> None:
        """Finishes the text when the agent has come to a later place.

        An agent that runs again in another host passes the earlier places first; then its text is not whole yet.
        """
        if not within and self._writing is not None and place > self._writing.place:
            await self._end_writing()

    async def _end_writing(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing.finish()

    async def _leave_writing(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing.leave()

    # -- places

    def _path_of(self, within: str, place: int, kind: Kind) -> str:
        if not within and not self.path and self._ctx.begun(SEARCHED_FIRST):
            if place == 1 and kind == "call":
                return SEARCHED_FIRST
            place -= 1
        return self._below(f"{within}/{kind}:{place}" if within else f"{kind}:{place}")

    def _expect(self, within: str, place: int, kind: Kind, name: str) -> None:
        """Raises `JobFailed` when another checkpoint was recorded at this place."""
        for other in NAMED:
            path = self._path_of(within, place, other)
            before = self._ctx.recorded_name(path) if other != "map" else "" if self._ctx.recorded_below(path) else None
            if before is not None and (other != kind or (kind in ("call", "step") and before != name)):
                was, now = _described(other, before), _described(kind, name)
                self._fail(
                    f"The code of the agent {self.spec.name!r} has changed since this job began: its checkpoint "
                    f"{place} was {was}, and is {now} now. Start a new job."
                )

    def _fail(self, sentence: str) -> NoReturn:
        self.failure = JobFailed("agent_changed", sentence)
        raise self.failure

    def _check_alive(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _messages(self, within: str, place: int) -> list[BaseMessage]:
        """Returns the conversation before this place. Each part sees only its own additions."""
        before: list[BaseMessage] = list(self.conversation.messages)
        scopes: list[tuple[str, int]] = [(within, place)]
        while scopes[0][0]:
            scopes.insert(0, _around(scopes[0][0]))
        for scope, end in scopes:
            for at in sorted(at for above, at in self._said if above == scope and at < end):
                before += self._said[scope, at].messages()
        return before

    # -- models

    async def _generate(self, asked: Generate) -> Generated:
        self._expect(asked.within, asked.place, "model", "")
        path = self._path_of(asked.within, asked.place, "model")
        reply = self._replies.get(path)
        if reply is None:  # else the agent runs again, while the model has continued
            reply = self._replies[path] = asyncio.create_task(self._replied(path, asked), name=path)
            reply.add_done_callback(_retrieve)
        try:
            return await asyncio.shield(reply)
        except asyncio.CancelledError as error:
            if error.args == (ABANDONED,) and (calling := self._calling.get(path)) is not None:
                self._abandoned.add(path)
                calling.cancel()
            raise
        finally:
            if reply.done():
                self._replies.pop(path, None)

    async def _replied(self, path: str, asked: Generate) -> Generated:
        shown = asked.show and not asked.within and not self.path
        replayed = self._ctx.recorded(path)
        prompt = _digest(asked)

        async def run(step: Step) -> JSON:
            reply = await self._ask(step, asked, shown=shown)
            await book(self._ctx, self._models.settings.rate, reply.tokens)
            hidden = {} if shown else {"hidden": True}
            return {**_numbered(reply, asked).as_json(), "prompt": prompt, **hidden}

        name = asked.model or self._model or self._models.settings.model
        parent = self._parent_of(asked.within)
        output = await self._ctx.step(path, run, name=name, kind="model", parent=parent)
        if replayed and output.get("prompt") not in (None, prompt):
            await self._ctx.log("warning", PROMPT_CHANGED, step=path)
        reply = ModelReply.from_json(output)
        self._take(path, asked, reply, name, shown=shown)
        return Generated(
            text=reply.text,
            calls=output["tool_calls"],
            finish_reason=reply.finish_reason,
            input_tokens=reply.input_tokens,
            output_tokens=reply.output_tokens,
        )

    async def _ask(self, step: Step, asked: Generate, *, shown: bool) -> ModelReply:
        separator = self._separator(asked.place) if shown else ""
        writer = Separated(separator, step.text if shown else _nothing)
        offered = self._offers(asked)
        messages = self._prompt(asked, has_tools=bool(offered))

        async def ask(model: BaseChatModel) -> BaseMessage:
            bound = model.bind_tools(offered) if offered else model
            return await bound.ainvoke(messages, **(asked.parameters or {}))

        calling = self._calling[step.path] = asyncio.ensure_future(
            self._models.chat(
                ask,
                model=asked.model or self._model,
                on_text=writer.write,
                on_reasoning=step.reasoning if shown else None,
                patience=patience_of(step, self._ctx.job.request.patience_seconds, withdrawn=writer.begin),
                room=step.room,
                sent_bytes=len(self.text.encode()) if shown else 0,
            )
        )
        try:
            return await calling
        except asyncio.CancelledError:
            if step.path in self._abandoned:
                raise StepFailed("abandoned", "The agent did not wait for the answer.") from None
            raise
        finally:
            calling.cancel()
            del self._calling[step.path]

    def _prompt(self, asked: Generate, *, has_tools: bool) -> list[BaseMessage]:
        problems = self._agents.toolbox.problems if has_tools else ()
        system = "\n\n".join(part for part in (asked.system, *problems) if part)
        if asked.messages is None:
            messages = self._messages(asked.within, asked.place)
        else:
            messages = self._with_reasoning(convert_to_messages([dict(message) for message in asked.messages]))
        return [SystemMessage(system), *messages] if system else messages

    def _with_reasoning(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Adds the reasoning to messages with calls that we know, because the agent's own form of them has none."""
        known = [*self.conversation.messages, *(asked.said.message for asked in self._asked.values())]
        said = {call["id"]: one for one in known if isinstance(one, AIMessage) for call in one.tool_calls}
        for message in messages:
            calls = message.tool_calls if isinstance(message, AIMessage) else ()
            if calls and (before := said.get(calls[0]["id"])) is not None:
                message.additional_kwargs |= before.additional_kwargs
                message.response_metadata |= before.response_metadata
        return messages

    def _offers(self, asked: Generate) -> list[dict[str, Any]]:
        """Returns the tools that the model may call, in OpenAI's schema."""
        if asked.tools is None:
            return [*(_offer(spec) for spec in self.offered), *self._of_caller.values()]
        known = {spec.name: spec for spec in self._agents.toolbox.catalogue}
        return [
            tool if isinstance(tool, dict) else _offer(known[tool])
            for tool in asked.tools
            if isinstance(tool, dict) or tool in known
        ]

    def _take(self, path: str, asked: Generate, reply: ModelReply, model: str, *, shown: bool) -> None:
        if path not in self._counted:  # once, even if the agent runs again
            self._counted.add(path)
            count_usage(self._ctx, reply)
            self._spent.add(reply)
        if shown:
            if reply.text:
                self._texts[asked.place] = self._separator(asked.place) + reply.text
                self._of_models.add(asked.place)
            self._cut_off = (asked.place, reply.finish_reason) if reply.finish_reason in CUT_OFF else None
        said = _Said(message=ai_message(reply, model=model))
        if asked.messages is None:
            self._said[asked.within, asked.place] = said
        for index, call in enumerate(reply.calls):
            self._asked[call.id] = _Asked(call=call, path=f"{path}/call:{index}", parent=path, said=said)

    def _separator(self, place: int, text: str = "") -> str:
        """Returns the separator between two texts of the answer, if a model wrote one of them."""
        before = [at for at in self._texts if at < place and self._texts[at]]
        if not before:
            return ""
        last = max(before)
        if text:
            return "" if last not in self._of_models or text[:1].isspace() else BETWEEN_STEPS
        return "" if last not in self._of_models and self._texts[last].endswith("\n") else BETWEEN_STEPS

    # -- tools and other agents

    async def _run(self, asked: RunCalls) -> JSON:
        calls = self._known(asked)
        if theirs := [one.call for one in calls if one.call.name in self._of_caller]:
            self._handed_over = theirs
            self.failure = HandedOver()
            raise self.failure
        outputs = await run_together(self._called(one) for one in calls)
        return [{"text": output["content"], "failed": bool(output.get("error"))} for output in outputs]

    def _known(self, asked: RunCalls) -> list[_Asked]:
        """Returns the calls. Those that the agent made itself are added to the conversation like a model's."""
        found: list[_Asked] = []
        place = asked.place
        for told in asked.calls:
            if told["id"]:
                found.append(self._of_model(str(told["id"])))
            else:
                found.append(self._own(asked.within, place, told))
                place += 1
        return found

    def _of_model(self, call_id: str) -> _Asked:
        if (known := self._asked.get(call_id)) is None:
            raise ToolError("There is no such call: run the calls of a reply, each as it came.")
        return known

    def _own(self, within: str, place: int, told: Mapping[str, JSON]) -> _Asked:
        name, arguments = str(told["name"]), told["arguments"]
        self._expect(within, place, "call", name)
        call = ToolCall(id=f"{OWN_CALL}{_id_of(within, place)}", name=name, arguments=arguments)
        said = self._said[within, place] = _Said(message=ai_message(ModelReply(text="", calls=(call,))))
        path = self._path_of(within, place, "call")
        return _Asked(call=call, path=path, parent=self._parent_of(within), said=said)

    async def _called(self, asked: _Asked) -> dict[str, JSON]:
        """Runs a tool as a step. Its failure does not fail the turn: the model tells the user."""
        call, arguments = asked.call, asked.call.arguments

        async def run(step: Step) -> JSON:
            spent = Spent()
            if arguments is None:
                sentence = f"The arguments for {call.name!r} were not a JSON object; send one that fits its parameters."
                return _failed(sentence)
            try:
                value = await self._value(step.path, call.name, arguments, spent)
                output: dict[str, JSON] = {"content": content_of(value)}
            except ToolIncomplete as end:
                output = {"content": f"Incomplete: {end.reason}. So far: {content_of(end.result)}"}
            except ToolError as error:
                output = _failed(str(error))
            return _with_usage(output, spent)

        output = await self._tool_step(asked.path, run, call.name, dict(arguments or {}), asked.parent)
        asked.said.results[call.id] = tool_message(output, call_id=call.id, name=call.name)
        return output

    async def _call(self, asked: CallTool) -> JSON:
        """Returns the value of a tool or agent. Raises ToolError."""
        self._expect(asked.within, asked.place, "call", asked.name)
        arguments = dict(asked.arguments)

        async def run(step: Step) -> JSON:
            spent = Spent()
            try:
                value = await self._value(step.path, asked.name, arguments, spent)
            except ToolIncomplete as end:
                return _with_usage(_failed(f"{asked.name} is incomplete: {end.reason}."), spent)
            except ToolError as error:
                return _with_usage(_failed(str(error)), spent)
            kept = {} if isinstance(value, str) else {"value": value}
            return _with_usage({"content": content_of(value), **kept}, spent)

        path = self._path_of(asked.within, asked.place, "call")
        output = await self._tool_step(path, run, asked.name, arguments, self._parent_of(asked.within))
        if output.get("error"):
            raise ToolError(str(output["error"]))
        return output.get("value", output["content"])

    async def _tool_step(
        self, path: str, run: Any, name: str, arguments: dict[str, JSON], parent: str | None
    ) -> dict[str, JSON]:
        replayed = self._ctx.recorded(path)
        output: dict[str, JSON] = await self._ctx.step(
            path, run, name=name, kind="tool", parent=parent, input=arguments
        )
        if replayed and "usage" in output and path not in self._counted:
            self._ctx.add_usage(**output["usage"])  # in a fresh run, the model calls have been counted already
        self._counted.add(path)
        return output

    async def _value(self, path: str, name: str, arguments: Mapping[str, JSON], spent: Spent) -> JSON:
        """Runs the tool or agent. Raises ToolError."""
        if (spec := self._agents.spec(name)) is not None:
            return await self._answer_of(path, spec, arguments, spent)
        return await self._agents.toolbox.call(
            self._ctx,
            path,
            name,
            arguments,
            files=self.conversation.files,
            named_sites=self.conversation.sites,
            spent=spent,
        )

    async def _answer_of(self, path: str, spec: AgentSpec, arguments: Mapping[str, JSON], spent: Spent) -> str:
        if self._depth >= MAX_DEPTH:
            raise ToolError(f"The agent {spec.name} was not called: agents call each other without end.")
        settings = {name: value for name, value in arguments.items() if name != "text"}
        text = str(arguments.get("text", ""))
        asked = HumanMessage(text, additional_kwargs={"words": text, "files": []})
        conversation = self.conversation.about(asked)
        call = AgentCall(self.ctx, self._agents, spec, conversation, path=path, depth=self._depth + 1, spent=spent)
        try:
            await self._agents.run(call, settings, text)
        except JobIncomplete as end:
            raise ToolError(f"The agent {spec.name} ended before its end: {end.reason}.") from end
        except StepFailed:
            raise
        except JobFailed as failure:
            raise ToolError(failure.message) from failure
        return call.text

    # -- small things

    @property
    def _model(self) -> str | None:
        return self._ctx.job.request.model

    def _parent_of(self, within: str) -> str | None:
        """Returns the step that a checkpoint is a part of; None at the top of the job."""
        return self._below(within) if within else self.path or None


def _of_agent(spec: AgentSpec, catalogue: Sequence[ToolSpec]) -> list[ToolSpec]:
    return [tool for tool in catalogue if spec.tools is None or tool.name in spec.tools]


def _around(within: str) -> tuple[str, int]:
    """Returns where a step or map stands, from the path inside of it: `map:2/part:0` is at place 2 of the top."""
    above, _, last = within.rpartition("/")
    if last.startswith("part:"):
        above, _, last = above.rpartition("/")
    return above, int(last.partition(":")[2])


def _id_of(within: str, place: int) -> str:
    return "_".join(part for part in (within.replace("/", "_").replace(":", ""), str(place)) if part)


def _numbered(reply: ModelReply, asked: Generate) -> ModelReply:
    """Returns the reply with our ids; without calls if it was cut off, because their arguments may be incomplete."""
    calls = () if reply.finish_reason in CUT_OFF else reply.calls
    name = f"call_{_id_of(asked.within, asked.place)}"
    return ModelReply(
        text=reply.text,
        calls=tuple(replace(call, id=f"{name}_{index}") for index, call in enumerate(calls)),
        finish_reason=reply.finish_reason,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        reasoning=reply.reasoning if calls else {},
    )


def _digest(asked: Generate) -> str:
    """Identifies the author's prompt, without the conversation."""
    written = json.dumps([asked.system, asked.tools, *filter(None, [asked.parameters])], sort_keys=True)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _described(kind: Kind, name: str) -> str:
    return f"{NAMED[kind]} {name!r}" if kind in ("call", "step") else NAMED[kind]


def _not_run(call: Mapping[str, Any]) -> ToolMessage:
    return ToolMessage(NOT_RUN, tool_call_id=str(call["id"]), name=str(call["name"]), status="error")


def _failed(sentence: str) -> dict[str, JSON]:
    return {"content": f"Error: {sentence}", "error": sentence}


def _with_usage(output: dict[str, JSON], spent: Spent) -> dict[str, JSON]:
    return {**output, "usage": spent.as_json()} if spent.input_tokens else output


def _offer(spec: ToolSpec) -> dict[str, Any]:
    """Returns the tool in OpenAI's function schema."""
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": function}


def _nothing(text: str) -> None:
    """A hidden answer is not streamed."""


def _retrieve(task: asyncio.Task[Generated]) -> None:
    """Marks the error as read: if the agent is gone, asyncio would log it."""
    if not task.cancelled():
        task.exception()
