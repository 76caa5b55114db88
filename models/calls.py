"""One model call: streams its tokens, retries it before the first token, and ends in a reply or one failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata

from models.faults import TRUNCATED, CutShort, Fault
from models.patience import Patience
from models.replies import TOO_LONG, ModelReply, ToolCall

Purpose = Literal["chat", "complete"]
Ask = Callable[[BaseChatModel], Awaitable[BaseMessage]]
"""Invokes the given model once."""
Room = Awaitable[object]
"""Done when the store has written enough of the text."""


class OnReasoning(Protocol):
    def __call__(self, text: str, *, anew: bool) -> None:
        """Takes a piece of a model's reasoning; `anew`: the first one of a try."""


class TokenStream(AsyncCallbackHandler):
    """Collects the text of one call as it arrives, its finish reason and its usage."""

    raise_error = True  # otherwise LangChain logs our exception and the call continues
    run_inline = True

    def __init__(
        self,
        on_text: Callable[[str], None] | None,
        *,
        limit_bytes: int,
        room: Callable[[], Room | None] | None = None,
        on_reasoning: OnReasoning | None = None,
    ) -> None:
        """limit_bytes: of the answer, its reasoning, its text and the arguments of its calls, in UTF-8."""
        self._on_text = on_text
        self._on_reasoning = on_reasoning
        self._thoughts: list[str] = []
        self._thoughts_field = ""
        self._room = room
        self._pieces: list[str] = []
        self._left_bytes = limit_bytes
        self.is_too_long = False
        """The answer has passed its limit: the text so far is kept, and later text is dropped."""
        self.started = False
        """A part of the answer has arrived, so the call must not be retried."""
        self.finish_reason: str | None = None
        self.usage: UsageMetadata | None = None
        self.logprobs: list[Any] = []
        self._refusal: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    async def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:  # noqa: ARG002 - theirs
        message = chunk.message
        # LangChain's merged message joins repeated finish reasons ("stopstop") and sums running totals: keep the last.
        self.finish_reason = message.response_metadata.get("finish_reason") or self.finish_reason
        self.usage = message.usage_metadata or self.usage
        self.started = self.started or bool(message.tool_call_chunks)
        self.take(str(message.text))

    def take(self, text: str) -> None:
        """Appends text to the answer and passes it on."""
        if storable_text := self.within_limit(storable(text)):
            self.started = True
            self._pieces.append(storable_text)
            if self._on_text is not None:
                self._on_text(storable_text)

    def reason(self, text: str, field: str) -> None:
        """Passes on reasoning, which does not start the answer: a call that breaks off here is retried."""
        self._thoughts_field = field
        if storable_text := self.within_limit(storable(text)):
            if self._on_reasoning is not None:
                self._on_reasoning(storable_text, anew=not self._thoughts)
            self._thoughts.append(storable_text)

    @property
    def reasoning(self) -> dict[str, str]:
        """The reasoning, by the endpoint's name of the field; empty if the endpoint does not send the field."""
        return {self._thoughts_field: "".join(self._thoughts)} if self._thoughts_field else {}

    @property
    def refusal(self) -> str:
        return storable("".join(self._refusal))

    def refuse(self, text: str) -> None:
        """Appends to the refusal, which is told when the answer has ended."""
        self.started = True
        self._refusal.append(self.within_limit(text))

    def within_limit(self, text: str) -> str:
        """Returns the part of the text that still fits the answer's limit, and counts it."""
        size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if size > self._left_bytes:
            self.is_too_long = True
            text = text.encode("utf-8", "replace")[: self._left_bytes].decode("utf-8", "ignore")
        self._left_bytes = max(0, self._left_bytes - size)
        return text

    def room(self) -> Room | None:
        """Returns what to wait for before more of the answer is read, or None."""
        return None if self._room is None else self._room()


class ModelSource(Protocol):
    """A source of models: an endpoint, or the offline model."""

    name: str
    """The model for requests that name none."""

    def model(self, name: str | None, purpose: Purpose, stream: TokenStream) -> BaseChatModel: ...

    def fault(self, error: Exception, stream: TokenStream) -> Fault | None:
        """Returns what the error means; None if the model did not cause it."""

    async def aclose(self) -> None: ...


async def call_model(
    source: ModelSource,
    ask: Ask,
    *,
    model: str | None,
    purpose: Purpose,
    patience: Patience,
    limit_bytes: int,
    on_text: Callable[[str], None] | None = None,
    on_reasoning: OnReasoning | None = None,
    room: Callable[[], Room | None] | None = None,
) -> ModelReply:
    """Calls the model, with retries until the answer begins to arrive. An answer that broke off is requested again if
    its text can be withdrawn. Raises `StepFailed` with the last fault.

    limit_bytes: a longer answer is cut there; its finish reason is `too_long`.
    room: returns what to wait for before more of the answer is read, or None.
    """
    cuts = 0
    failures: Counter[tuple[str, bool]] = Counter()
    while True:
        stream = TokenStream(on_text, limit_bytes=limit_bytes, room=room, on_reasoning=on_reasoning)
        try:
            return _reply(await ask(source.model(model, purpose, stream)), stream)
        except Exception as error:  # the source decides which errors are faults
            fault = source.fault(error, stream)
            if fault is None:
                raise
        kind = (fault.code, fault.may_last)
        before = failures[kind] + (patience.waits if fault.may_last else 0)
        failures[kind] += 1
        pause = fault.pause(cuts if stream.started else before, patience.seconds)
        if pause is None or (stream.started and not (fault == TRUNCATED and await patience.withdraws(cuts))):
            raise fault.as_error()
        cuts += stream.started
        await patience.wait(fault, pause)


def instruct(instruction: str, material: str) -> Ask:
    """Returns a tool's question: an instruction, and the material to which it applies."""
    messages: Sequence[BaseMessage] = [SystemMessage(instruction), HumanMessage(material)]

    async def ask(model: BaseChatModel) -> BaseMessage:
        return await model.ainvoke(list(messages))

    return ask


def _reply(message: BaseMessage, stream: TokenStream) -> ModelReply:
    finish_reason = TOO_LONG if stream.is_too_long else stream.finish_reason
    if finish_reason is None:
        raise CutShort
    assert isinstance(message, AIMessage)
    usage, calls = stream.usage, _tool_calls(message)
    return ModelReply(
        text=stream.text,
        calls=calls,
        finish_reason=finish_reason,
        input_tokens=usage["input_tokens"] if usage else None,
        output_tokens=usage["output_tokens"] if usage else None,
        cached_tokens=(usage.get("input_token_details") or {}).get("cache_read", 0) if usage else 0,
        reasoning_tokens=(usage.get("output_token_details") or {}).get("reasoning", 0) if usage else 0,
        logprobs=stream.logprobs,
        refusal=stream.refusal,
        reasoning=stream.reasoning if calls else {},
    )


def _tool_calls(message: AIMessage) -> tuple[ToolCall, ...]:
    """Returns the calls with empty ids; the chat turn numbers them when it records the reply."""
    usable = [ToolCall(id="", name=call["name"], arguments=call["args"]) for call in message.tool_calls]
    broken = [
        ToolCall(id="", name=call["name"] or "", arguments=None, text=call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    return (*usable, *broken)


def storable(text: str) -> str:
    """Returns the text without NULs and unpaired surrogates, which databases and UTF-8 refuse."""
    if text.isascii():
        return text.replace("\0", "")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")
