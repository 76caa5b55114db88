"""What callers ask of a model besides the messages. It is checked for its type and passed on as it is."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_TOOLS = 256
MAX_STOPS = 16
MAX_BIASES = 2_000

Name = Annotated[str, Field(max_length=200)]


class FunctionTool(BaseModel):
    """A function of the caller. The model asks for calls of it, and the caller runs them."""

    model_config = ConfigDict(strict=True, extra="allow")

    name: str = Field(min_length=1, max_length=200)
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema.")
    strict: bool | None = None


class ChatTool(BaseModel):
    model_config = ConfigDict(strict=True)

    type: str = Field(examples=["function"])
    function: FunctionTool


class Sampling(BaseModel):
    """The parameters that both routes know by the same name."""

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


class ChatParameters(Sampling):
    """Those of chat completions. An agent takes no part in them but the tools: its author and the operator decide."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | Annotated[list[str], Field(max_length=MAX_STOPS)] | None = None
    seed: int | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=MAX_BIASES)] | None = None
    logprobs: bool | None = None
    response_format: dict[str, Any] | None = None
    tools: Annotated[list[ChatTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    reasoning_effort: Name | None = None
    verbosity: Name | None = None
    user: Name | None = None

    def passed_on(self) -> dict[str, Any]:
        """Returns those that the caller has set."""
        known = self.model_dump(include=set(ChatParameters.model_fields), exclude_none=True, exclude_unset=True)
        return {name: value for name, value in known.items() if value != []}
