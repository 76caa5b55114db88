"""A job as the API shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from jobs import Job, JobStatus
from jobs.events import Outcome
from services.web import WebServices


class ProgressView(BaseModel):
    done: float
    total: float | None = Field(description="None: nobody knows yet.")
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
    thread_id: str | None
    user: str
    retry_of: str | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    attempt: int = Field(description="How often it was begun; each takeover adds one.")
    last_seq: int = Field(description="Length of its event log.")
    progress: ProgressView | None
    queue_position: int | None = Field(description="How many jobs start before it, while it waits.")
    result: Any | None
    error: ErrorView | None
    artifacts: list[ArtifactView]
    usage: UsageView | None


class JobList(BaseModel):
    data: list[JobView]
    has_more: bool


async def views(services: WebServices, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    outcomes, positions = await services.jobs.outcomes(jobs), await services.jobs.positions(jobs)
    return [view(job, outcomes[job.id], positions.get(job.id)) for job in jobs]


def view(job: Job, outcome: Outcome, position: int | None) -> dict[str, Any]:
    end = outcome.end.data if outcome.end else {}
    return {
        "id": job.id,
        "task": job.request.task,
        "status": job.status.value,
        "thread_id": job.thread_id,
        "user": job.user,
        "retry_of": job.retry_of,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "attempt": job.attempt,
        "last_seq": job.last_seq,
        "progress": _only(outcome.progress.data, ProgressView) if outcome.progress else None,
        "queue_position": position,
        "result": end.get("result"),
        "error": end.get("error") or _reason(end),
        "artifacts": [_only(event.data, ArtifactView) for event in outcome.artifacts],
        "usage": end.get("usage"),
    }


def _reason(end: Any) -> dict[str, str] | None:
    """Why a job is incomplete; no error, but nobody should have to read the log for it."""
    if not end.get("reason"):
        return None
    return {"code": str(end["reason"]), "message": REASONS.get(end["reason"], "The job ended before it was done.")}


REASONS = {
    "length": "The answer reached the model's length limit.",
    "content_filter": "The answer was cut off by the model's content filter.",
    "needs_arguments": "The tool waits for its arguments: retry with them.",
}


def _only(data: Any, shape: type[BaseModel]) -> dict[str, Any]:
    return {name: data[name] for name in shape.model_fields}
