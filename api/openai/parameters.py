"""The parameters of a model call besides the messages: their types are checked, and they are passed on unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.openai.messages import refusal
from jobs.encoding import encode

MAX_TOOLS = 256
MAX_STOPS = 16
MAX_BIASES = 2_000
MAX_OTHERS = 64
MAX_OTHERS_BYTES = 100_000
"""Of the fields that OpenAI's routes do not have, as JSON."""
UNREAD = frozenset({"functions", "function_call", "modalities", "audio"})
"""Fields of chat completions whose answers nothing here reads."""
ELSEWHERE = frozenset({"context_management", "messages", "n", "prompt_cache_retention", "stream_options"})
"""Fields that only one of the two routes has, or that they mean otherwise."""

Name = Annotated[str, Field(max_length=200)]
LOGPROBS = "message.output_text.logprobs"
"""Values of `include` that add data to a response."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _chosen(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


Stops = Annotated[list[str] | None, Field(max_length=MAX_STOPS), BeforeValidator(_listed)]
ToolChoice = Annotated[dict[str, Any] | None, BeforeValidator(_chosen, json_schema_input_type=str | dict[str, Any])]


class Parameters(BaseModel):
    """The parameters of both routes. Agents ignore them: their authors and the operator decide."""

    model_config = ConfigDict(strict=True)

    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool | None = None
    service_tier: Name | None = None
    safety_identifier: Name | None = None
    prompt_cache_key: Name | None = None
    user: Name | None = None
    stop: Stops = None
    seed: int | None = None
    tool_choice: ToolChoice = None

    def others(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields of the body that OpenAI's routes do not have, such as `top_k`, for a direct model call.

        Raises `ApiError` 400 for too much of them.
        """
        known = type(self).model_fields.keys() | UNREAD
        found = {name: value for name, value in body.items() if name not in known and value is not None}
        if len(found) > MAX_OTHERS or (found and len(encode(found)) > MAX_OTHERS_BYTES):
            sentence = f"has more than {MAX_OTHERS} other fields, or more than {MAX_OTHERS_BYTES:,} bytes of them"
            raise refusal("body", sentence)
        return found


SAME = set(Parameters.model_fields) - {"tool_choice", "top_logprobs"}
"""Parameters with the same name and meaning in both routes."""


class ChatFunction(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str = Field(min_length=1, max_length=200)
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema.")
    strict: bool | None = None


class ChatTool(BaseModel):
    """A function of the caller: the model calls it, and the caller runs it."""

    model_config = ConfigDict(strict=True)

    type: str = Field(examples=["function"])
    function: ChatFunction


class ChatParameters(Parameters):
    """The parameters of chat completions."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=MAX_BIASES)] | None = None
    logprobs: bool | None = None
    response_format: dict[str, Any] | None = None
    tools: Annotated[list[ChatTool], Field(max_length=MAX_TOOLS)] | None = None
    reasoning_effort: Name | None = None
    verbosity: Name | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    prediction: dict[str, Any] | None = None

    def of(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the parameters of the body as the caller wrote them: the checked ones and `others`."""
        known = {name: body[name] for name in ChatParameters.model_fields if body.get(name) is not None}
        return {name: value for name, value in known.items() if value != []} | self.others(body)


class ResponseTool(BaseModel):
    """A function of the caller. Other types are refused later, by name."""

    model_config = ConfigDict(strict=True)

    type: str = Field(examples=["function"])
    name: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema.")
    strict: bool | None = None


class ResponseParameters(Parameters):
    """Those of responses."""

    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    tools: Annotated[list[ResponseTool], Field(max_length=MAX_TOOLS)] | None = None
    truncation: Name | None = None
    store: bool | None = None
    include: Annotated[list[str], Field(max_length=MAX_STOPS)] | None = None

    def others(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in super().others(body).items() if name not in ELSEWHERE}

    def for_chat(self) -> dict[str, Any]:
        """Returns them in the format of chat completions. Raises `ApiError` 400 for unsupported values."""
        text, reasoning = self.text or {}, self.reasoning or {}
        wants_logprobs = LOGPROBS in (self.include or ()) or bool(self.top_logprobs)
        asked = {
            **self.model_dump(include=SAME),
            "max_completion_tokens": self.max_output_tokens,
            "tools": [_chat_tool(tool, number) for number, tool in enumerate(self.tools or ())],
            "tool_choice": _chat_choice(self.tool_choice),
            "response_format": _chat_format(text.get("format")),
            "verbosity": text.get("verbosity"),
            "reasoning_effort": reasoning.get("effort"),
            "logprobs": True if wants_logprobs else None,
            "top_logprobs": self.top_logprobs or None,
        }
        return {name: value for name, value in asked.items() if value is not None and value != []}


def _chat_tool(tool: ResponseTool, number: int) -> dict[str, Any]:
    if tool.type != "function":
        sentence = f"only functions are accepted here, not {tool.type[:40]!r}; ask an agent for its tools"
        raise refusal(f"tools.{number}.type", sentence, "unsupported_tool")
    if not tool.name:
        raise refusal(f"tools.{number}.name", "must be a string")
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _chat_choice(choice: Mapping[str, Any] | None) -> Any:
    kind = None if choice is None else choice.get("type")
    if choice is None or kind in ("auto", "none", "required"):
        return kind
    if kind != "function" or not isinstance(choice.get("name"), str):
        raise refusal("tool_choice", "must be auto, none, required or a function with its name", "unsupported_value")
    return {"type": "function", "function": {"name": choice["name"]}}


def _chat_format(wanted: Any) -> Any:
    if not isinstance(wanted, Mapping) or wanted.get("type") in (None, "text"):
        return None
    if wanted["type"] != "json_schema":
        return dict(wanted)
    return {"type": "json_schema", "json_schema": {name: part for name, part in wanted.items() if name != "type"}}
