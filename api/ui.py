"""The front end for the AI SDK's `useChat`: a chat turn as a resumable stream of UI message chunks."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api.access import Caller, Services
from api.descriptions import errors
from api.stream import EventStream, Frames, data_frame
from api.submit import Key, chat_request, submit
from api.ui_body import read_chat, save_files, schema
from api.ui_chunks import UiChunks
from jobs import Job, JobFilter, JobNotFound, JobStatus
from services.web import WebServices

router = APIRouter(prefix="/api/ui", tags=["AI SDK"])

PROTOCOL = {"x-vercel-ai-ui-message-stream": "v1"}
RUN, TAIL = "x-workflow-run-id", "x-workflow-stream-tail-index"
"""Headers that `WorkflowChatTransport` reads."""
CHAT_ID = "ui_chat"
"""The job argument that keeps the chat's id."""
DONE = b"data: [DONE]\n\n"
MAX_INDEX = 10**12
DELETED = {"type": "error", "errorText": "The job was deleted."}
FINISH = {"type": "finish", "finishReason": "error"}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"example": 'data: {"type":"text-delta","id":"text-0","delta":"Hello"}\n\n'}}
    }
}

StartIndex = Annotated[
    int,
    Query(
        alias="startIndex",
        ge=-MAX_INDEX,
        le=MAX_INDEX,
        description="The number of the first chunk to send, from 0; below 0 counts from the end.",
    ),
]


@router.post(
    "/chat",
    response_class=Response,
    responses={**STREAM, **errors(400, 401, 404, 409, 413, 415, 422, 429, 503, 507)},
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": schema()}}}},
    summary="Ask, from the AI SDK",
)
async def ask(request: Request, user: Caller, services: Services, key: Key = None) -> EventStream:
    """Ask a question and stream the answer. A disconnect does not stop it; `x-workflow-run-id` is the job's id."""
    chat = await read_chat(request)
    files = await save_files(services, chat.question.files, user)
    turn = chat_request(
        user,
        chat.question.text,
        earlier=chat.earlier,
        files=files,
        model=chat.model,
        key=key,
        arguments={CHAT_ID: chat.id} if chat.id else {},
        patience_seconds=services.settings.patience_seconds,
    )
    return _stream(services, await submit(services, turn), first=0)


@router.get(
    "/runs/{job_id}/stream",
    response_class=Response,
    responses={**STREAM, **errors(401, 404, 422, 429, 503)},
    summary="Rejoin a stream",
)
async def rejoin(
    job_id: Annotated[str, Path(max_length=200)], user: Caller, services: Services, first: StartIndex = 0
) -> EventStream:
    """Stream the chunks of any job from number `startIndex` on. A number always means the same chunk."""
    job = await services.jobs.get(job_id, user)
    return await _rejoined(services, job, first)


@router.get(
    "/chat/{chat_id}/stream",
    response_class=Response,
    responses={**STREAM, 204: {"description": "The chat has no running job."}, **errors(401, 422, 429, 503)},
    summary="Rejoin the stream of a chat",
)
async def resume(
    chat_id: Annotated[str, Path(max_length=200)], user: Caller, services: Services, first: StartIndex = 0
) -> Response:
    """Stream the chunks of a job, or of the running job of the chat with that `id`. 204 if there is none."""
    with contextlib.suppress(JobNotFound):
        return await _rejoined(services, await services.jobs.get(chat_id, user), first)
    job = await _running(services, user, chat_id)
    return Response(status_code=204) if job is None else await _rejoined(services, job, first)


async def _running(services: WebServices, user: str, chat_id: str) -> Job | None:
    """Returns the newest job of the chat that has not ended."""
    found = [
        job
        for status in (JobStatus.IN_PROGRESS, JobStatus.QUEUED)
        for job in await services.jobs.jobs(JobFilter(user=user, status=status, limit=200))
        if job.request.arguments.get(CHAT_ID) == chat_id
    ]
    return max(found, key=lambda job: job.number, default=None)


async def _rejoined(services: WebServices, job: Job, first: int) -> EventStream:
    if first >= 0:
        return _stream(services, job, first=first)
    chunks = UiChunks(job.id)
    count = 0
    async for batch in services.jobs.log(job.id):
        count += sum(len(chunks.feed(event)) for event in batch)
    return _stream(services, job, first=max(0, count + first), headers={TAIL: str(count - 1)})


def _stream(services: WebServices, job: Job, *, first: int, headers: dict[str, str] | None = None) -> EventStream:
    return EventStream(
        _frames(services, job, first),
        ping_seconds=services.settings.sse_ping_seconds,
        headers={**PROTOCOL, RUN: job.id, "X-Job-Id": job.id, **(headers or {})},
    )


async def _frames(services: WebServices, job: Job, first: int) -> Frames:
    """Yields one frame per batch. Ends without `finish` when this process stops, so that the client resumes."""
    chunks, number, ended = UiChunks(job.id), 0, False
    try:
        async with contextlib.aclosing(services.jobs.follow(job.id, job.user)) as batches:
            async for batch in batches:
                told = [chunk for event in batch for chunk in chunks.feed(event)]
                unseen = told[max(0, first - number) :]
                number, ended = number + len(told), batch[-1].terminal
                if unseen:
                    yield b"".join(map(data_frame, unseen))
    except JobNotFound:
        ended = True
        yield data_frame(DELETED) + data_frame(FINISH)
    if ended:
        yield DONE
