"""A job's log as spans: the job, its wait, its attempts, their steps. Pure; spans hold no user content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from jobs import Job, JobEvent, JobStatus
from jobs.events import (
    Artifact,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobEdited,
    JobFailedEvent,
    JobIncompleteEvent,
    JobQueued,
    JobStarted,
    Log,
    Plan,
    Progress,
    Source,
    StepFinished,
    StepStarted,
    StepWaiting,
    Terminal,
    TextDelta,
    UnknownEvent,
)

MAX_STEPS = 1_000
"""A table of 100,000 rows has as many steps. Steps beyond this number are counted, but get no span."""
INTERRUPTED = "interrupted"
WITHDRAWN = "withdrawn"

Attributes = Mapping[str, str | int]


@dataclass(frozen=True, kw_only=True)
class Span:
    """A named period, inside another one."""

    id: int
    """64 bits. Every process computes the same id."""
    parent: int | None
    name: str
    begun: float
    """Unix seconds."""
    ended: float
    attributes: Attributes
    error: str | None = None
    """The error's code, if it failed."""


def trace_id(job: Job) -> int:
    """128 bits; a job and its retries share one trace."""
    return int.from_bytes(hashlib.sha256(job.root_id.encode()).digest()[:16])


def span_id(job_id: str, seq: int) -> int:
    """The id of the span that this event begins; the job's own span has seq 0."""
    return int.from_bytes(hashlib.sha256(f"{job_id} {seq}".encode()).digest()[:8])


def draw(job: Job, milestones: Sequence[JobEvent]) -> list[Span]:
    """Returns the spans of an ended job."""
    drawing = _Drawing(job)
    for event in milestones:
        drawing.see(event)
    return drawing.spans


@dataclass(kw_only=True)
class _Open:
    """A span without an end yet."""

    id: int
    parent: int
    name: str
    begun: float
    attributes: Attributes = field(default_factory=dict)


class _Drawing:
    """Feed it the milestones in order."""

    def __init__(self, job: Job) -> None:
        self.spans: list[Span] = []
        self._job = job
        self._root = span_id(job.id, 0)
        self._attempts = 0
        self._attempt: _Open | None = None
        self._steps: dict[str, _Open] = {}
        self._ids: dict[str, int] = {}
        self._begun_steps = 0

    def see(self, event: JobEvent) -> None:
        payload = event.payload
        match payload:
            case JobStarted():
                self._start(event, payload)
            case JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                self._end(event, payload)
            case StepStarted():
                # Steps that a retry reuses belong to the job that ran them.
                if self._attempt is not None:
                    self._begin_step(event, payload, self._attempt)
            case StepFinished():
                if (step := self._steps.pop(payload.step, None)) is not None:
                    self._close(step, event.at, None if payload.error is None else str(payload.error["code"]))
            case (
                JobQueued()
                | JobEdited()
                | JobCancelling()
                | TextDelta()
                | Progress()
                | Log()
                | StepWaiting()
                | Plan()
                | Source()
                | Artifact()
                | UnknownEvent()
            ):
                pass  # they have no duration
            case _:
                assert_never(payload)

    def _start(self, event: JobEvent, started: JobStarted) -> None:
        """The log does not record when a worker died, so its attempt lasts until the next one starts."""
        if self._attempt is None:
            self._close_wait(event.at)
        self._close_attempt(event.at, INTERRUPTED, INTERRUPTED)
        self._attempts += 1
        attributes: Attributes = {"longhaul.attempt": started.attempt, "longhaul.worker": started.worker}
        self._attempt = self._opened(event, self._root, "attempt", attributes)

    def _begin_step(self, event: JobEvent, started: StepStarted, attempt: _Open) -> None:
        path, kind = started.step, started.kind
        if (before := self._steps.pop(path, None)) is not None:
            self._close(before, event.at, WITHDRAWN)
        self._begun_steps += 1
        if self._begun_steps > MAX_STEPS:
            return
        # Parts are named after files and addresses, which are user content.
        name = kind if kind in ("part", "reasoning") else f"{kind} {started.name}"
        parent = self._ids.get(started.parent or "", attempt.id)
        attributes: Attributes = {"longhaul.step.kind": kind, "longhaul.step.attempt": started.attempt}
        self._steps[path] = self._opened(event, parent, name, attributes)
        self._ids[path] = self._steps[path].id

    def _end(self, event: JobEvent, end: Terminal) -> None:
        job = self._job
        error = end.error["code"] if isinstance(end, JobFailedEvent) else None
        stopped = "cancelled" if job.status is JobStatus.CANCELLED else INTERRUPTED
        if self._attempt is None:
            self._close_wait(event.at)
        self._close_attempt(event.at, error, stopped)
        root = Span(
            id=self._root,
            parent=span_id(job.retry_of, 0) if job.retry_of else None,
            name=f"job {job.request.task}",
            begun=job.created_at,
            ended=max(job.created_at, event.at),
            attributes=self._figures(end),
            error=error,
        )
        self.spans.append(root)

    def _figures(self, end: Terminal) -> Attributes:
        usage = (end.usage if isinstance(end, JobCompleted) else None) or {}
        left_out = max(0, self._begun_steps - MAX_STEPS)
        return {
            "longhaul.job.id": self._job.id,
            "longhaul.job.task": self._job.request.task,
            "longhaul.job.status": self._job.status.value,
            "longhaul.job.attempts": self._attempts,
            **{f"gen_ai.usage.{name}": count for name, count in usage.items()},
            **({"longhaul.job.steps_left_out": left_out} if left_out else {}),
        }

    def _close_wait(self, at: float) -> None:
        wait = _Open(id=span_id(self._job.id, 1), parent=self._root, name="queue", begun=self._job.created_at)
        self._close(wait, at)

    def _close_attempt(self, at: float, error: str | None, step_error: str) -> None:
        for step in self._steps.values():
            self._close(step, at, step_error)
        if self._attempt is not None:
            self._close(self._attempt, at, error)
        self._steps, self._ids = {}, {}

    def _opened(self, event: JobEvent, parent: int, name: str, attributes: Attributes) -> _Open:
        identity = span_id(self._job.id, event.seq)
        return _Open(id=identity, parent=parent, name=name, begun=event.at, attributes=attributes)

    def _close(self, span: _Open, at: float, error: str | None = None) -> None:
        """Clocks of two machines may differ: a span must not end before it begins."""
        closed = Span(
            id=span.id,
            parent=span.parent,
            name=span.name,
            begun=span.begun,
            ended=max(span.begun, at),
            attributes=span.attributes,
            error=error,
        )
        self.spans.append(closed)
