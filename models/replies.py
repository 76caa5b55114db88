"""Model replies, as they are recorded in the log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.models import JSON

TOO_LONG = "too_long"
"""Our own finish reason: the answer passed `LONGHAUL_MAX_ANSWER_MB`."""
CUT_OFF = frozenset({"length", "content_filter", TOO_LONG})
"""Finish reasons of an incomplete answer."""
OWN_CALL = "own_"
"""Ids of tool calls that the agent made begin with this; those of a model with `call_`."""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A tool call that the model requests."""

    id: str
    """Unique in the conversation. We assign it, because endpoints repeat theirs."""
    name: str
    arguments: Mapping[str, JSON] | None
    """None: the model did not send a JSON object."""
    text: str = ""
    """The text that it sent instead."""

    def as_json(self) -> dict[str, JSON]:
        told: dict[str, JSON] = {"id": self.id, "name": self.name, "arguments": self.arguments}
        return {**told, "text": self.text} if self.text else told

    def for_caller(self, job_id: str, index: int) -> dict[str, JSON]:
        """Returns the call for a caller who runs it: {id, name, arguments}, the arguments as text.

        The id is unique in a conversation of many requests.
        """
        text = self.text if self.arguments is None else json.dumps(dict(self.arguments), ensure_ascii=False)
        return {"id": f"call_{job_id.removeprefix('job_')}_{index}", "name": self.name, "arguments": text}


@dataclass(kw_only=True)
class Spent:
    """The tokens that a tool's model calls used, recorded with the tool call."""

    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, reply: ModelReply) -> None:
        self.input_tokens += reply.input_tokens or 0
        self.output_tokens += reply.output_tokens or 0

    def as_json(self) -> dict[str, JSON]:
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}


@dataclass(frozen=True, kw_only=True)
class ModelReply:
    """One complete answer of a model."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    """OpenAI's finish reason: `stop`, `tool_calls`, `length`, `content_filter`; or `TOO_LONG`."""
    input_tokens: int | None = None
    """None: the endpoint does not report tokens."""
    output_tokens: int | None = None
    cached_tokens: int = 0
    """Of those that were read, how many the endpoint had read before."""
    reasoning_tokens: int = 0
    """Of those that were written, how many are not part of the text."""
    logprobs: Sequence[JSON] = ()
    """The probabilities of the text's tokens, in OpenAI's format, if they were requested."""
    refusal: str = ""
    """Why the model does not answer, where a caller asked the model itself; otherwise that is text like any other."""
    reasoning: Mapping[str, str] = field(default_factory=dict)
    """The reasoning before the calls, by the endpoint's name of the field. Some endpoints refuse the calls' results
    without it. Empty without calls."""

    @property
    def tokens(self) -> int:
        """Tokens read and written; 0 if the endpoint does not report them."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    def as_json(self) -> dict[str, JSON]:
        calls = [call.as_json() for call in self.calls]
        usage = None
        if self.input_tokens is not None:
            usage = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens or 0}
        told = {"text": self.text, "tool_calls": calls, "finish_reason": self.finish_reason, "usage": usage}
        return {**told, "reasoning": dict(self.reasoning)} if self.reasoning else told

    @classmethod
    def from_json(cls, recorded: Mapping[str, JSON]) -> ModelReply:
        usage = recorded["usage"] or {}
        return cls(
            text=recorded["text"],
            calls=tuple(ToolCall(**call) for call in recorded["tool_calls"]),
            finish_reason=recorded["finish_reason"],
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            reasoning=recorded.get("reasoning") or {},
        )
