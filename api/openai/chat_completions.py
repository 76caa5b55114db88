"""`POST /v1/chat/completions`: answers a conversation that the caller sends, streamed or whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access import Caller, Services
from api.answer import follow_answer
from api.openai.chunks import ChunkWriter, Envelope, chunks, error_frame, whole
from api.openai.descriptions import openai_errors
from api.openai.messages import Messages, ToolCall, check_conversation, read_conversation, refusal
from api.openai.parameters import ChatParameters
from api.owned_answer import OwnedAnswer
from api.strict import StrictRoute
from api.submit import Key, chat_request, is_agent, model_request, submit
from jobs import JobRequest

DOOR = {"door": "chat.completions"}
"""Among the job's arguments, so that an idempotency key is valid for this route only."""

router = APIRouter(prefix="/v1/chat/completions", route_class=StrictRoute, tags=["openai"])


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True)

    include_usage: bool | None = Field(None, description="Send a chunk with the tokens used before the end.")


class ChatRequest(ChatParameters):
    """Other fields are passed on unchanged in a direct model call; an agent ignores them."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}], "stream": True}]
        },
    )

    model: str = Field(max_length=200, description="One of `GET /v1/models`.")
    messages: Messages
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, description="1: there is always one choice.")

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class AnswerMessage(BaseModel):
    role: str = "assistant"
    content: str | None = Field(description="None when the model only calls tools.")
    refusal: str | None = None
    reasoning_content: str | None = Field(None, description="The model's reasoning.")
    tool_calls: list[ToolCall] | None = None


class Choice(BaseModel):
    index: int = 0
    message: AnswerMessage
    finish_reason: str = Field(description="`stop`, `tool_calls`, `length` or `content_filter`.")
    logprobs: dict[str, Any] | None = None


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int] | None = None
    completion_tokens_details: dict[str, int] | None = None


class ChatCompletion(BaseModel):
    id: str = Field(examples=["chatcmpl-5f0c3a9be1d24c77a0b1c2d3"])
    object: str = "chat.completion"
    created: int = Field(description="Unix seconds.")
    model: str
    choices: list[Choice]
    usage: Usage | None


DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {"model": ChatCompletion, "content": {"text/event-stream": {}}},
    **openai_errors(400, 401, 404, 409, 413, 415, 429, 503),
}


@router.post("", response_model=None, responses=DESCRIBED, summary="Create a chat completion")
async def create(body: ChatRequest, request: Request, user: Caller, services: Services, key: Key = None) -> Response:
    """Answer the last message with the named agent or model. Disconnecting early stops the answer."""
    if body.n not in (None, 1):
        raise refusal("n", "must be 1: there is one choice", "unsupported_value")
    ask = _to_agent if await is_agent(services, body.model) else _to_model
    job = await submit(services, ask(body, await request.json(), user, key))
    answer, envelope = OwnedAnswer(request=request, services=services, job=job), Envelope.of(job, body.model)
    pieces = follow_answer(services.jobs, job)
    if not body.stream:
        return await answer.whole(whole(pieces, envelope))
    return await answer.streamed(chunks(pieces, ChunkWriter(envelope, usage=body.wants_usage)), error_frame)


def _to_agent(body: ChatRequest, sent: Mapping[str, Any], user: str, key: str | None) -> JobRequest:
    """The agent's models may call the caller's tools in addition to the agent's."""
    conversation = read_conversation(body.messages)
    return chat_request(
        user,
        conversation.question,
        earlier=conversation.earlier,
        model=body.model,
        key=key,
        arguments=DOOR | conversation.arguments(sent.get("tools") or ()),
    )


def _to_model(body: ChatRequest, sent: Mapping[str, Any], user: str, key: str | None) -> JobRequest:
    """`sent` is the unchanged body. The model reads only its messages and parameters."""
    words = check_conversation(body.messages)
    return model_request(user, sent["messages"], body.of(sent), model=body.model, words=words, key=key, arguments=DOOR)
