"""All of the caller's jobs as Server-Sent Events, one event for each change of a job."""

from __future__ import annotations

import contextlib
import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from api.access import Services, Whose
from api.descriptions import errors
from api.job_view import views
from api.stream import EventStream, Frames
from jobs import JobNotFound, StoreUnavailable
from jobs.client import TELL_AGAIN_SECONDS
from jobs.encoding import encode
from services.web import WebServices

router = APIRouter(prefix="/api/events", tags=["jobs"])

UNAVAILABLE = b'event: error\ndata: {"error":{"code":"unavailable","message":"The jobs cannot be read; resume."}}\n\n'
UNTOLD = ("last_seq", "result", "artifacts")
"""Fields of a job that the feed omits, because they change with each word or are long."""
WAIT = "starts_in_seconds"


@router.get(
    "",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}, **errors(401, 422, 429, 503)},
    summary="Follow all jobs",
)
async def follow(
    user: Whose,
    services: Services,
    last_event_id: Annotated[str | None, Header(description="The `id` of the last event received.")] = None,
) -> EventStream:
    """Stream the state of each of the caller's jobs that has not ended, then of each job that changes. Administrators
    may also follow the jobs of others.

    Each event is `event: job` with a job without `last_seq`, `result` and `artifacts`. The state of a deleted job is
    `deleted`. Resumed with `Last-Event-ID`, the stream also sends jobs that have ended since, possibly a second time.
    """
    frames = _frames(services, user, since=_time_of(last_event_id))
    return EventStream(frames, ping_seconds=services.settings.sse_ping_seconds)


async def _frames(services: WebServices, user: str | None, since: float) -> Frames:
    told: dict[str, dict[str, Any]] = {}
    try:
        async with contextlib.aclosing(services.jobs.follow_jobs(user, since)) as changes:
            async for jobs in changes:
                now = {one["id"]: _shown(one) for one in await views(services, jobs)}
                left = [one["id"] for one in told.values() if one["finished_at"] is None and one["id"] not in now]
                gone = [await _left(services, job_id, user) for job_id in left]
                frames = [_frame(one) for one in [*now.values(), *gone] if _differs(one, told.get(one["id"]))]
                told = now
                if frames:
                    yield b"".join(frames)
    except StoreUnavailable:
        yield UNAVAILABLE


async def _left(services: WebServices, job_id: str, user: str | None) -> dict[str, Any]:
    """Returns the event of a job that has left the list: it was deleted, or its worker's clock is far behind."""
    try:
        job = await services.jobs.get(job_id, user)
    except JobNotFound:
        return {"id": job_id, "state": "deleted"}
    return _shown((await views(services, [job]))[0])


def _differs(now: dict[str, Any], before: dict[str, Any] | None) -> bool:
    """Whether the job has changed, apart from the estimate of its start, which changes all the time."""
    return before is None or {**now, WAIT: None} != {**before, WAIT: None}


def _shown(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name not in UNTOLD}


def _frame(job: dict[str, Any]) -> bytes:
    return b"id: %.3f\nevent: job\ndata: %s\n\n" % (time.time(), encode(job))


def _time_of(event_id: str | None) -> float:
    """Returns the time to resume from: now, unless the id is one of this feed."""
    now = time.time()
    try:
        at = float(event_id or "")
    except ValueError:
        return now
    return min(max(0.0, at - TELL_AGAIN_SECONDS), now)
