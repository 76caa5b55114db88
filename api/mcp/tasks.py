"""A job as MCP shows it: as the result of a call, and as a task of the extension io.modelcontextprotocol/tasks.

Pure functions. The shapes are those of https://github.com/modelcontextprotocol/ext-tasks.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any, assert_never
from urllib.parse import quote

from api.job_view import REASONS
from jobs import Job, JobStatus
from jobs.events import Artifact, JobCancelled, JobCompleted, JobFailedEvent, JobIncompleteEvent, Terminal
from jobs.transcript import Transcript

Payload = dict[str, Any]

STATUSES: Mapping[JobStatus, str] = {
    JobStatus.QUEUED: "working",
    JobStatus.IN_PROGRESS: "working",  # a job that asks will be `input_required`, with the questions as inputRequests
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "completed",  # the extension reserves `failed` for protocol errors
    JobStatus.INCOMPLETE: "completed",
    JobStatus.CANCELLED: "cancelled",
}
POLLS: tuple[tuple[float, int], ...] = ((2, 250), (60, 1_000))
"""Age of a task in seconds → how long a younger task's caller waits between two polls, in milliseconds."""
SLOW_POLL_MS = 5_000


def task(job: Job, summary: Transcript, *, now: float, ttl_ms: int | None, base_url: str) -> Payload:
    """Returns the task with its result if it has one. `base_url` is the server's address for the caller."""
    status = STATUSES[job.status]
    changed = job.finished_at or summary.heard_at or job.started_at or job.created_at
    told: Payload = {
        "taskId": job.id,
        "status": status,
        "createdAt": _iso(job.created_at),
        "lastUpdatedAt": _iso(max(changed, job.created_at)),
        "ttlMs": ttl_ms,
        "pollIntervalMs": _poll_ms(now - job.created_at),
    }
    if doing := _doing(job, summary):
        told["statusMessage"] = doing
    if status == "completed" and summary.end is not None:
        told["result"] = {
            "resultType": "complete",
            **result(job, summary.end, summary.artifacts.values(), base_url=base_url),
        }
    return told


def result(job: Job, end: Terminal, artifacts: Iterable[Artifact], *, base_url: str) -> Payload:
    """Returns the result of the call: text, the same as JSON if it is an object, and links to the artifacts."""
    links = [_link(job, artifact, base_url) for artifact in artifacts]
    match end:
        case JobCompleted(result=value):
            told: Payload = {"content": [*_texts(value), *links], "isError": False}
            return told | ({"structuredContent": value} if isinstance(value, dict) else {})
        case JobIncompleteEvent(reason=reason, result=value):
            sentence = REASONS.get(reason, f"It ended before it was complete: {reason}.")
            return {"content": [*_texts(value), text(sentence), *links], "isError": True}
        case JobFailedEvent(error=error):
            return {"content": [text(error["message"]), *links], "isError": True}
        case JobCancelled():
            return failure("The call was stopped.")
        case _:
            assert_never(end)


def failure(sentence: str) -> Payload:
    """Returns the result of a call that a model may correct and repeat."""
    return {"content": [text(sentence)], "isError": True}


def text(words: str) -> Payload:
    return {"type": "text", "text": words}


def _texts(value: Any) -> list[Payload]:
    """An answer is shown as its text, any other result as JSON."""
    if isinstance(value, dict) and value.keys() <= {"text", "usage"} and isinstance(value.get("text"), str):
        value = value["text"]
    if value is None:
        return []
    return [text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]


def _link(job: Job, artifact: Artifact, base_url: str) -> Payload:
    address = f"{base_url}/api/jobs/{job.id}/artifacts/{quote(artifact.name)}"
    return {
        "type": "resource_link",
        "uri": address,
        "name": artifact.name,
        "mimeType": artifact.mime,
        "size": artifact.size,
    }


def _doing(job: Job, summary: Transcript) -> str | None:
    if job.status is JobStatus.QUEUED:
        return "It waits for its turn."
    if job.status is not JobStatus.IN_PROGRESS:
        return None
    if job.cancelled_by is not None:
        return "It is being stopped."
    progress = summary.progress
    if progress is None:
        return None
    of = f" of {progress.total:g}" if progress.total is not None else ""
    return f"{progress.done:g}{of}{': ' if progress.message else ''}{progress.message}"


def _poll_ms(age: float) -> int:
    return next((ms for seconds, ms in POLLS if age < seconds), SLOW_POLL_MS)


def _iso(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
