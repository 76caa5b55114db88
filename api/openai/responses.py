"""`/v1/responses`: a chat turn as OpenAI's response. Background responses outlive their callers and can be resumed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from api.access import Caller, Services
from api.errors import ApiError
from api.openai import foreground
from api.openai.descriptions import openai_errors
from api.openai.foreground import ForegroundFrames
from api.openai.messages import check_says, last_words
from api.openai.response_events import ASKED, Heading, ResponseEvents, frames, job_id_of
from api.openai.response_files import with_files
from api.openai.response_input import (
    NewResponse,
    check_calls,
    check_kept,
    check_length,
    conversation_of,
    for_agent,
    items_of,
    messages_of,
    read_items,
)
from api.openai.response_items import with_reasoning, with_references
from api.openai.response_view import DeletedView, InputItemsView, ResponseView
from api.owned_answer import OwnedAnswer
from api.stream import BARE_PING, EventStream
from api.strict import StrictRoute
from api.submit import Key, chat_request, is_agent, model_request, submit
from jobs import Job, JobNotFound, JobRequest
from jobs.encoding import encode
from services.web import WebServices

router = APIRouter(prefix="/v1/responses", route_class=StrictRoute, tags=["openai"])

CANCEL_SECONDS = 5.0
"""How long a cancel waits for the job's end, so that the response returned is already `cancelled`."""
FROM_BEGINNING = -1

ResponseId = Annotated[str, Path(examples=["resp_5f0c3a9be1d24c77a0b1c2d3"])]
DESCRIBED: dict[int | str, dict[str, Any]] = {200: {"model": ResponseView, "content": {"text/event-stream": {}}}}


@router.post(
    "",
    response_model=None,
    responses={**DESCRIBED, **openai_errors(400, 401, 404, 409, 413, 415, 429, 503)},
    summary="Create a response",
)
async def create(body: NewResponse, request: Request, user: Caller, services: Services, key: Key = None) -> Response:
    """Create a response. Disconnecting early stops a foreground response, never a background one."""
    job = await submit(services, await _request(services, body, await request.json(), user, key))
    if body.background:
        return _stream(services, job) if body.stream else await _as_it_stands(services, job)
    answer, events = OwnedAnswer(request=request, services=services, job=job), _events(services, job)
    batches = services.jobs.follow(job.id, user)
    if not body.stream:
        return await answer.whole(foreground.whole(batches, events))
    rendering = ForegroundFrames(events)
    return await answer.streamed(foreground.streamed(batches, rendering), rendering.error, opening=rendering.opened)


@router.get(
    "/{response_id}",
    response_model=None,
    responses={**DESCRIBED, **openai_errors(400, 401, 404, 429, 503)},
    summary="Get a response, or resume its stream",
)
async def get(
    response_id: ResponseId,
    user: Caller,
    services: Services,
    stream: Annotated[bool, Query(description="Stream all events, from the first to the last.")] = False,
    starting_after: Annotated[
        int | None, Query(ge=0, description="With `stream`: start after this `sequence_number`.")
    ] = None,
) -> Response:
    """Show a response's current state. Every chat job is a response, whichever API submitted it."""
    job = await _find(services, response_id, user)
    if stream:
        return _stream(services, job, after=FROM_BEGINNING if starting_after is None else starting_after)
    return await _as_it_stands(services, job)


@router.get(
    "/{response_id}/input_items",
    response_model=InputItemsView,
    responses=openai_errors(400, 401, 404, 429, 503),
    summary="List the input of a response",
)
async def input_items(
    response_id: ResponseId,
    user: Caller,
    services: Services,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="Newest first, unless `asc`.")] = "desc",
    after: Annotated[str | None, Query(max_length=200, description="The id of an item: return those after it.")] = None,
) -> dict[str, Any]:
    """List the messages, calls and results that the model or agent received, without instructions."""
    items = items_of(messages_of(await _find(services, response_id, user)))
    if order == "desc":
        items.reverse()
    begin = next((at + 1 for at, item in enumerate(items) if item["id"] == after), 0)
    page = items[begin : begin + limit]
    return {
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": begin + limit < len(items),
    }


@router.post(
    "/{response_id}/cancel",
    response_model=ResponseView,
    responses=openai_errors(401, 404, 429, 503),
    summary="Stop a response",
)
async def cancel(response_id: ResponseId, user: Caller, services: Services) -> Response:
    """Stop the response. Repeating the call changes nothing, nor does cancelling an ended response."""
    job = await _find(services, response_id, user)
    await services.jobs.cancel(job.id, user)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_SECONDS):
            await _end_of(services, job)
    return await _as_it_stands(services, job)


@router.delete(
    "/{response_id}",
    response_model=DeletedView,
    responses=openai_errors(401, 404, 409, 429, 503),
    summary="Delete a response",
)
async def delete(response_id: ResponseId, user: Caller, services: Services) -> dict[str, Any]:
    """Delete the job, its events and its artifacts."""
    job = await _find(services, response_id, user)
    await services.housekeeping.remove_job(job.id, user)
    return {"id": response_id}


async def _request(
    services: WebServices, body: NewResponse, sent: Mapping[str, Any], user: str, key: str | None
) -> JobRequest:
    instructions = [{"role": "system", "content": body.instructions}] if body.instructions else []
    before: list[Any] = instructions
    if body.previous_response_id:
        before = [*instructions, *await _before(services, body.previous_response_id, user)]
    check_kept(body)
    patience = services.settings.patience_seconds if body.background else 0
    said = [*before, *read_items(await with_references(body.input, services.jobs, user))]
    check_calls(said)
    asked, parameters = body.asked(sent), body.for_chat()
    if await is_agent(services, body.model):
        conversation = for_agent(said, len(body.input))
        check_length(said, max_bytes=services.settings.max_body_bytes)
        return chat_request(
            user,
            conversation.question,
            earlier=conversation.earlier,
            model=body.model,
            key=key,
            arguments={ASKED: asked, **conversation.arguments(parameters.get("tools", ()))},
            patience_seconds=patience,
        )
    check_says(said, len(body.input), "input")
    said = await with_files(said, services, user)
    said = await with_reasoning(said, services.jobs, user, model=str(body.model))
    check_length(said, max_bytes=services.settings.max_body_bytes)
    return model_request(
        user,
        said,
        body.others(sent) | parameters,
        model=str(body.model),
        words=last_words(said) or None,
        key=key,
        arguments={ASKED: asked},
        patience_seconds=patience,
    )


async def _before(services: WebServices, response_id: str, user: str) -> list[Any]:
    job = await _find(services, response_id, user, param="previous_response_id")
    if not job.ended:
        message = "previous_response_id: that response has not ended; wait for its end, or cancel it."
        raise ApiError(409, "conflict", message, param="previous_response_id")
    return await conversation_of(services.jobs, job)


async def _find(services: WebServices, response_id: str, user: str, *, param: str | None = None) -> Job:
    """Raises `ApiError` 404 when the user has no such response."""
    job_id = job_id_of(response_id)
    with contextlib.suppress(JobNotFound):
        job = await services.jobs.get(job_id, user) if job_id else None
        if job is not None and job.request.is_turn:
            return job
    raise ApiError(404, "not_found", f"There is no response {response_id[:80]!r}.", param=param)


def _stream(services: WebServices, job: Job, *, after: int = FROM_BEGINNING) -> EventStream:
    """Clients may disconnect and resume; when this process stops, the stream ends without an error."""
    return EventStream(
        frames(services.jobs.follow(job.id, job.user), _heading(services, job), after=after),
        ping_seconds=services.settings.sse_ping_seconds,
        ping=BARE_PING,
    )


async def _end_of(services: WebServices, job: Job) -> None:
    async with contextlib.aclosing(services.jobs.follow(job.id, job.user)) as batches:
        async for _ in batches:
            continue


async def _as_it_stands(services: WebServices, job: Job) -> Response:
    events = _events(services, job)
    async for batch in services.jobs.log(job.id):
        events.feed_all(batch)
    return Response(encode(events.response()), media_type="application/json")


def _events(services: WebServices, job: Job) -> ResponseEvents:
    return ResponseEvents(_heading(services, job))


def _heading(services: WebServices, job: Job) -> Heading:
    return Heading.of(job, model=services.settings.model_name)
