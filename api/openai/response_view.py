"""OpenAI's Response object as the API's documentation shows it; response_events.py builds it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from jobs import JobStatus


class OutputTextView(BaseModel):
    type: str = "output_text"
    text: str
    annotations: list[Any]


class RefusalView(BaseModel):
    type: str = "refusal"
    refusal: str = Field(description="Why the model does not answer, in its words.")


class OutputMessageView(BaseModel):
    id: str
    type: str = "message"
    role: str = "assistant"
    status: str = Field(description="`in_progress`, `completed` or `incomplete`.")
    content: list[OutputTextView | RefusalView]


class FunctionCallView(BaseModel):
    id: str
    type: str = "function_call"
    status: str
    call_id: str = Field(description="Repeat it in the `function_call_output` of the next request.")
    name: str
    arguments: str = Field(description="As the model wrote them, usually a JSON object.")


class ResponseErrorView(BaseModel):
    code: str = Field(description="`server_error` or `rate_limit_exceeded`.")
    message: str = Field(description="A sentence for people.")


class IncompleteView(BaseModel):
    reason: str = Field(description="`max_output_tokens` or `content_filter`.")


class ResponseUsageView(BaseModel):
    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseView(BaseModel):
    """An answer, complete or in progress. Times are Unix seconds."""

    id: str = Field(examples=["resp_5f0c3a9be1d24c77a0b1c2d3"], description="The job's id, with the prefix `resp_`.")
    object: str = "response"
    created_at: int
    completed_at: int | None
    status: JobStatus
    background: bool
    error: ResponseErrorView | None
    incomplete_details: IncompleteView | None
    instructions: str | None
    metadata: dict[str, str]
    model: str
    output: list[OutputMessageView | FunctionCallView] = Field(
        description="The messages so far, then the calls that the caller is to run; a restarted step appears once."
    )
    parallel_tool_calls: bool
    previous_response_id: str | None
    temperature: float
    tool_choice: str | dict[str, Any]
    tools: list[Any]
    top_p: float
    top_logprobs: int
    presence_penalty: float
    frequency_penalty: float
    max_output_tokens: int | None
    max_tool_calls: int | None
    truncation: str
    text: dict[str, Any]
    reasoning: dict[str, Any] | None
    store: bool
    service_tier: str
    safety_identifier: str | None
    prompt_cache_key: str | None
    user: str | None
    usage: ResponseUsageView | None = Field(description="None until the end, or when the model reports none.")


class InputItemsView(BaseModel):
    object: str = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedView(BaseModel):
    id: str
    object: str = "response"
    deleted: bool = True
