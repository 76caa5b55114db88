"""The jobs API: submit, show, follow, cancel, retry and delete jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

import audit
from api import events
from api.access import Caller, Owner, Services, Whose
from api.descriptions import errors
from api.errors import ApiError
from api.job_view import JobList, JobView, views
from api.stream import EventStream
from api.strict import StrictRoute
from api.submit import MAX_FILES, Key, submit
from api.tools import check_arguments
from jobs import Job, JobFilter, JobRequest, JobStatus, is_thread_id
from jobs.models import Overlap
from names import CHAT, MODEL
from services.agents import find as find_agent
from services.web import WebServices
from toolkit.artifacts import mime_of

router = APIRouter(prefix="/api/jobs", route_class=StrictRoute, tags=["jobs"])

ID = r"^[A-Za-z0-9_.:-]{1,200}$"
JobId = Annotated[str, Path(examples=["job_5f0c3a9be1d24c77a0b1c2d3"])]
ACCEPTED = 202


def _thread_id(text: str) -> str:
    if not is_thread_id(text):
        raise ValueError("ids that begin with job_ or file_ belong to jobs and files; use another one")
    return text


class NewJob(BaseModel):
    """A chat turn has `input`, a tool `arguments`, an agent both: its settings are the arguments."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"task": "chat", "input": "What does the handbook say about parental leave?", "files": []},
                {"task": "simulate_portfolio", "arguments": {"years": 30}},
            ]
        },
    )

    task: str = Field(min_length=1, max_length=100, description="`chat`, or the name of an agent or a tool.")
    input: str | None = Field(None, description="The user's message in a chat turn.")
    arguments: dict[str, Any] | None = Field(None, description="The arguments of a tool, the settings of an agent.")
    thread_id: Annotated[str, Field(pattern=ID), AfterValidator(_thread_id)] | None = Field(
        None, description="The conversation; its first job creates it. The id must not begin with `job_` or `file_`."
    )
    files: list[Annotated[str, Field(pattern=ID)]] | None = Field(
        None, max_length=MAX_FILES, description="Ids of uploaded files."
    )
    overlap: Overlap = Field(
        "next",
        description="If a turn of the thread runs: `next` waits; `instead` stops it and goes before waiting turns.",
    )
    model: str | None = Field(None, max_length=200, description="One of `GET /v1/models`.")
    patience_seconds: float = Field(
        30, ge=0, le=7 * 86_400, description="How long a failing model endpoint is retried."
    )


class NewWords(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"input": "And in the new handbook?"}]})

    input: str = Field(description="The user's message.")


class NewRetry(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}, {"arguments": {"years": 40}}]})

    arguments: dict[str, Any] | None = Field(
        None, description="Replace the original ones, for example with a larger budget."
    )


@router.post(
    "",
    status_code=ACCEPTED,
    response_model=JobView,
    responses=errors(400, 401, 404, 409, 413, 415, 422, 429, 503),
    summary="Submit a job",
)
async def create(body: NewJob, user: Caller, services: Services, key: Key = None) -> JSONResponse:
    """Submit a job. Equal calls with the same `Idempotency-Key` submit it only once."""
    return await _accepted(services, await submit(services, await _request(services, body, user, key), body.overlap))


@router.get("", response_model=JobList, responses=errors(401, 422, 429, 503), summary="List jobs")
async def find(
    user: Whose,
    services: Services,
    status: JobStatus | None = None,
    task: Annotated[str | None, Query(max_length=100)] = None,
    thread_id: Annotated[str | None, Query(pattern=ID)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[str | None, Query(pattern=ID, description="A job's id: list only older jobs.")] = None,
) -> dict[str, Any]:
    """List the caller's jobs, newest first. Administrators may list the jobs of others."""
    query = JobFilter(user=user, status=status, task=task, thread_id=thread_id, limit=limit + 1, before=before)
    found = await services.jobs.jobs(query)
    return {"data": await views(services, found[:limit]), "has_more": len(found) > limit}


@router.get("/{job_id}", response_model=JobView, responses=errors(401, 404, 422, 429, 503), summary="Get a job")
async def get(job_id: JobId, user: Owner, services: Services) -> dict[str, Any]:
    """Show the job's current state."""
    return (await views(services, [await services.jobs.get(job_id, user)]))[0]


@router.get(
    "/{job_id}/events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}, **errors(401, 404, 422, 429, 503)},
    summary="Follow a job's events",
)
async def follow(
    job_id: JobId,
    user: Owner,
    services: Services,
    after: Annotated[str | None, Query(description="Start after the event with this number.")] = None,
    last_event_id: Annotated[str | None, Header(description="Same as `after`, and takes precedence.")] = None,
) -> EventStream:
    """Stream the job's stored events, then the live ones, up to the terminal one."""
    await services.jobs.get(job_id, user)
    begin = events.starting_after(last_event_id, after)
    frames = events.frames(services.jobs, job_id, user, after=begin)
    return EventStream(frames, ping_seconds=services.settings.sse_ping_seconds)


@router.post(
    "/{job_id}/cancel",
    status_code=ACCEPTED,
    response_model=JobView,
    responses=errors(401, 404, 422, 429, 503),
    summary="Stop a job",
)
async def cancel(job_id: JobId, user: Owner, by: Caller, services: Services) -> JSONResponse:
    """Stop the job. Repeating the call changes nothing, nor does cancelling an ended job."""
    return await _accepted(services, await services.jobs.cancel(job_id, user, by=by))


@router.post(
    "/{job_id}/try-now",
    status_code=ACCEPTED,
    response_model=JobView,
    responses=errors(401, 404, 422, 429, 503),
    summary="Ask the model endpoint again now",
)
async def try_now(job_id: JobId, user: Caller, services: Services) -> JSONResponse:
    """End the pause of a job that is `waiting` for the model endpoint. In another state, nothing changes."""
    return await _accepted(services, await services.jobs.try_now(job_id, user))


@router.post(
    "/{job_id}/retry",
    status_code=ACCEPTED,
    response_model=JobView,
    responses=errors(400, 401, 404, 409, 415, 422, 429, 503),
    summary="Retry a job",
)
async def retry(job_id: JobId, user: Caller, services: Services, body: NewRetry | None = None) -> JSONResponse:
    """Submit a new job that continues from the failed step; finished steps do not run again."""
    failed = await services.jobs.get(job_id, user)
    arguments = body.arguments if body else None
    files = [] if arguments is None else await check_arguments(services, failed.request.task, arguments, user)
    return await _accepted(services, await services.jobs.retry(job_id, user, arguments, files))


@router.patch(
    "/{job_id}", response_model=JobView, responses=errors(401, 404, 409, 422, 429, 503), summary="Edit a waiting job"
)
async def edit(job_id: JobId, body: NewWords, user: Caller, services: Services) -> dict[str, Any]:
    """Replace the text of a waiting chat turn. 409 once it has started."""
    job = await services.jobs.get(job_id, user)
    if not job.request.is_turn:
        raise ApiError(422, "invalid_request", "input: the job of a tool has none.", param="input")
    if job.request.task == MODEL or job.request.arguments.get("continues"):
        raise ApiError(
            422, "invalid_request", "input: this job reads the messages of its request; ask again.", param="input"
        )
    _check_words(body.input, job.request.files)
    return (await views(services, [await services.jobs.edit(job_id, user, body.input)]))[0]


@router.delete("/{job_id}", status_code=204, responses=errors(401, 404, 409, 422, 429, 503), summary="Delete a job")
async def delete(job_id: JobId, user: Owner, services: Services) -> Response:
    """Delete the job, its events, its artifacts, and those of its files that no other job uses."""
    await services.housekeeping.remove_job(job_id, user)
    return Response(status_code=204)


@router.get(
    "/{job_id}/artifacts/{name:path}",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}}, **errors(401, 404, 422, 429, 503)},
    summary="Download an artifact",
)
async def artifact(
    job_id: JobId, name: Annotated[str, Path(max_length=400)], user: Caller, services: Services
) -> FileResponse:
    """Download a file that the job made. Browsers never display it: it may contain content from untrusted documents."""
    job = await services.jobs.get(job_id, user)
    path = services.files.artifact_path(job.root_id, name)
    audit.record("artifact downloaded", job=job_id)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    return FileResponse(path, media_type=mime_of(path.name), filename=path.name, headers=headers)


async def _accepted(services: WebServices, job: Job) -> JSONResponse:
    location = {"Location": f"/api/jobs/{job.id}"}
    return JSONResponse((await views(services, [job]))[0], ACCEPTED, headers=location)


def _check_words(text: str | None, files: Sequence[str] | None) -> None:
    if not (text or "").strip() and not files:
        raise ApiError(422, "invalid_request", "input: a chat turn needs text or files.", param="input")


def _check_turn(body: NewJob) -> None:
    _check_words(body.input, body.files)
    if body.arguments:
        raise ApiError(422, "invalid_request", "arguments: a chat turn takes none; use input.", param="arguments")


async def _request(services: WebServices, body: NewJob, user: str, key: str | None) -> JobRequest:
    files = [*(body.files or [])]
    is_agent = body.task != CHAT and await find_agent(services.jobs, body.task) is not None
    if body.task == CHAT:
        _check_turn(body)
    else:
        files += await check_arguments(services, body.task, body.arguments or {}, user)
    if is_agent:
        _check_words(body.input, body.files)
    return JobRequest(
        task=body.task,
        user=user,
        input=body.input,
        arguments=body.arguments or {},
        thread_id=body.thread_id,
        files=tuple(dict.fromkeys(files)),
        model=body.model,
        patience_seconds=body.patience_seconds,
        key=key,
        agent=is_agent,
    )
