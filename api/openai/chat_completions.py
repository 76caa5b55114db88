"""`POST /v1/chat/completions`: a turn whose conversation the caller brings along, streamed or whole."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access import Caller, Services
from api.answer import follow_answer
from api.errors import STATUSES, ApiError, from_exception
from api.openai.chunks import ChunkWriter, Envelope, Withdrawn, chunks, error_frame, whole
from api.openai.descriptions import openai_errors
from api.openai.messages import Messages, read_conversation
from api.stream import BARE_PING, EventStream, Frames, Left, OnLeave, held
from api.strict import StrictRoute
from api.submit import chat_request, submit
from jobs import Job, JobNotFound
from services.web import WebServices

router = APIRouter(prefix="/v1/chat/completions", route_class=StrictRoute, tags=["openai"])

FORESEEN: tuple[type[Exception], ...] = (ApiError, *STATUSES)

Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True)

    include_usage: bool | None = Field(None, description="One more chunk before the end, with the tokens spent.")


class ChatRequest(BaseModel):
    """What else OpenAI's clients send is ignored."""

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
    temperature: float | None = Field(None, description="Taken and ignored, as are the others below.")
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = Field(None, description="There is always one choice.")
    user: str | None = None

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class AnswerMessage(BaseModel):
    role: str = "assistant"
    content: str
    refusal: str | None = None


class Choice(BaseModel):
    index: int = 0
    message: AnswerMessage
    finish_reason: str = Field(description="`stop`, `length` or `content_filter`.")
    logprobs: None = None


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


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
    """The answer to the last message. Whoever leaves before its end stops it."""
    conversation = read_conversation(body.messages)
    turn = chat_request(user, conversation.question, earlier=conversation.earlier, model=body.model, key=key)
    job = await submit(services, turn)
    try:
        return await (_streamed if body.stream else _whole)(body, request, services, job)
    except Left:
        await _stop(services, job)
        raise


async def _whole(body: ChatRequest, request: Request, services: WebServices, job: Job) -> Response:
    frames = await held(request, whole(follow_answer(services.jobs, job), Envelope.of(job, body.model)), seconds=None)
    answer = b"".join([frame async for frame in frames])
    return Response(answer, media_type="application/json", headers=_headers(job))


async def _streamed(body: ChatRequest, request: Request, services: WebServices, job: Job) -> Response:
    stop = partial(_stop, services, job)
    writer = ChunkWriter(Envelope.of(job, body.model), usage=body.wants_usage)
    frames = await held(request, chunks(follow_answer(services.jobs, job), writer))
    return EventStream(
        with_failure(frames, stop),
        ping_seconds=services.settings.sse_ping_seconds,
        ping=BARE_PING,
        on_leave=stop,
        headers=_headers(job),
    )


async def with_failure(frames: Frames, stop: OnLeave) -> Frames:
    """The status has been sent: what fails from here on is told by the last event."""
    async with contextlib.aclosing(frames):
        try:
            async for frame in frames:
                yield frame
        except Withdrawn as error:
            await stop()  # nobody will read the rest
            yield error_frame(error)
        except FORESEEN as error:
            yield error_frame(from_exception(error))


def _headers(job: Job) -> dict[str, str]:
    return {"X-Job-Id": job.id}


async def _stop(services: WebServices, job: Job) -> None:
    with contextlib.suppress(JobNotFound):
        await services.jobs.cancel(job.id, job.user)
