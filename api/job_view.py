"""A job as the API shows it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, assert_never

from pydantic import BaseModel, Field

from jobs import CUT_SHORT, NEEDS_ARGUMENTS, Job, JobStatus
from jobs.estimates import Range
from jobs.events import JobCancelled, JobCompleted, JobFailedEvent, JobIncompleteEvent, Payload, Terminal
from jobs.rules import title_of
from jobs.transcript import Transcript
from services.web import WebServices

NOBODY = "no running worker has {!r}: start one, or check that its file loads"


class ProgressView(BaseModel):
    done: float
    total: float | None = Field(description="None while unknown.")
    message: str


class ErrorView(BaseModel):
    code: str = Field(description="For programs.")
    message: str = Field(description="A sentence for people.")


class ArtifactView(BaseModel):
    name: str
    mime: str
    size: int = Field(description="Bytes.")


class UsageView(BaseModel):
    input_tokens: int
    output_tokens: int


class JobView(BaseModel):
    """One piece of work. Times are Unix seconds."""

    id: str = Field(examples=["job_5f0c3a9be1d24c77a0b1c2d3"])
    task: str = Field(description="`chat`, or a tool's name.", examples=["chat"])
    status: JobStatus
    title: str = Field(description="A few words from the request.")
    state: str = Field(description="`queued`, `working`, `waiting`, `stalled`, `stopping`; after the end, the status.")
    doing: str | None = Field(description="One line about the current work.")
    thread_id: str | None
    user: str
    retry_of: str | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    attempt: int = Field(description="Number of starts; each takeover adds one.")
    last_seq: int = Field(description="Length of its event log.")
    progress: ProgressView | None
    eta_seconds: list[float] | None = Field(
        description="Seconds left: the median, and the time nine of ten calls stay below. None without a total, or "
        "after fewer than five runs of the tool."
    )
    queue_position: int | None = Field(description="Number of jobs that start before it, while it waits.")
    starts_in_seconds: list[float] | None = Field(
        description="An estimate of the remaining wait: a usual and a long one. None if too little is known."
    )
    result: Any | None
    error: ErrorView | None
    artifacts: list[ArtifactView]
    usage: UsageView | None


class JobList(BaseModel):
    data: list[JobView]
    has_more: bool


async def views(services: WebServices, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    summaries, positions = await services.jobs.summaries(jobs), await services.jobs.positions(jobs)
    waits = await services.jobs.waits(jobs)
    now = time.time()
    unserved = await services.jobs.unserved(jobs)
    return [
        view(job, summaries[job.id], positions.get(job.id), waits.get(job.id), now)
        | ({"doing": NOBODY.format(job.request.task)} if job.id in unserved else {})
        for job in jobs
    ]


def view(job: Job, summary: Transcript, position: int | None, wait: Range | None, now: float) -> dict[str, Any]:
    return {
        "id": job.id,
        "task": job.request.task,
        "status": job.status.value,
        "title": title_of(job.request),
        "state": state_of(job, summary, now),
        "doing": _doing(job, summary),
        "thread_id": job.thread_id,
        "user": job.user,
        "retry_of": job.retry_of,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "attempt": job.attempt,
        "last_seq": job.last_seq,
        "progress": _only(summary.progress, ProgressView) if summary.progress else None,
        "eta_seconds": _eta(job, summary, now),
        "queue_position": position,
        "starts_in_seconds": wait and [*wait],
        "artifacts": [_only(artifact, ArtifactView) for artifact in summary.artifacts.values()],
        **_end(summary.end),
    }


def state_of(job: Job, summary: Transcript, now: float) -> str:
    if job.status is not JobStatus.IN_PROGRESS:
        return job.status.value
    if job.cancelled_by is not None:
        return "stopping"
    if summary.waiting is not None:
        return "waiting"
    return "stalled" if summary.stalled_at is not None and now >= summary.stalled_at else "working"


def _eta(job: Job, summary: Transcript, now: float) -> list[float] | None:
    if job.status is not JobStatus.IN_PROGRESS or summary.progress is None or summary.progress.eta_seconds is None:
        return None
    passed = max(0.0, now - (summary.reported_at or now))  # a clock may be set back
    return [round(max(0.0, seconds - passed), 1) for seconds in summary.progress.eta_seconds]


def _doing(job: Job, summary: Transcript) -> str | None:
    if job.status is not JobStatus.IN_PROGRESS or not summary.steps:
        return None
    last = [*summary.steps.values()][-1].started
    if summary.progress is not None and summary.progress.message and last.kind != "model":
        return f"{last.name}: {summary.progress.message}"
    return {"model": f"asking {last.name}", "text": "writing"}.get(last.kind, last.name)


def _end(end: Terminal | None) -> dict[str, Any]:
    """Returns result, error and usage. An incomplete job has its reason as error, so callers need not read the log."""
    fields: dict[str, Any] = {"result": None, "error": None, "usage": None}
    match end:
        case JobCompleted(result=result, usage=usage):
            return fields | {"result": result, "usage": usage}
        case JobFailedEvent(error=error):
            return fields | {"error": error}
        case JobIncompleteEvent(reason=reason, result=result):
            message = REASONS.get(reason, "The job ended before it was complete.")
            return fields | {"result": result, "error": {"code": reason, "message": message}}
        case JobCancelled() | None:
            return fields
        case _:
            assert_never(end)


REASONS = {
    **CUT_SHORT,
    NEEDS_ARGUMENTS: "The tool waits for its arguments: retry with them.",
}


def _only(payload: Payload, shape: type[BaseModel]) -> dict[str, Any]:
    return {name: getattr(payload, name) for name in shape.model_fields}
