"""The event log's records: one typed payload per event type, and the JSON form that is stored.

Readers `match` on `JobEvent.payload` and end in `assert_never`: mypy names every reader that a new type concerns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import ClassVar, Literal, NamedTuple

from jobs.encoding import from_stored, to_stored
from jobs.models import JSON, JobStatus

Interruption = Literal["worker_died", "handed_over", "stalled"]
"""`stalled`: the worker stood still, or could not reach its store."""
WaitReason = Literal["rate_limited", "endpoint_failed", "slot"]
"""The reason of a wait: the endpoint's limit, the endpoint's recovery, a free slot on this machine."""
StepKind = Literal["model", "tool", "part", "text", "reasoning"]
"""`reasoning`: a model's, inside the step of its call."""


class JobEvent(NamedTuple):
    """One event of a job's log. `(job_id, seq)` is unique; seq is 1, 2, 3 … without gaps."""

    job_id: str
    seq: int
    type: str
    at: float
    """Unix seconds."""
    data: str
    """The payload's fields as stored JSON, without `seq`, `type` and `at`. Followers get it unchanged."""

    @property
    def payload(self) -> EventPayload:
        """Decodes the JSON at each access: keep the result."""
        return decode(self.type, self.data)

    @property
    def terminal(self) -> bool:
        return self.type in TERMINAL


class Entry(NamedTuple):
    """An event on its way to the log. Its bytes are made once, so that a resend is identical."""

    type: str
    data: str
    """JSON."""


class Payload:
    """Base of the payloads. Optional fields that are None are left out of the stored form."""

    type: ClassVar[str]
    optional: ClassVar[frozenset[str]] = frozenset()

    def data(self) -> dict[str, JSON]:
        fields = asdict(self)  # type: ignore[call-overload]  # every subclass is a dataclass
        return {name: value for name, value in fields.items() if value is not None or name not in self.optional}

    def entry(self) -> Entry:
        """Raises `TypeError` or `ValueError` when a field is not JSON."""
        return Entry(self.type, to_stored(self.data()))


@dataclass(frozen=True, kw_only=True)
class JobQueued(Payload):
    type: ClassVar[str] = "job.queued"
    position: int
    """How many jobs start before this one, as seen at submit."""


@dataclass(frozen=True, kw_only=True)
class JobEdited(Payload):
    """The words of a job that waits were replaced."""

    type: ClassVar[str] = "job.edited"
    input: str


@dataclass(frozen=True, kw_only=True)
class JobStarted(Payload):
    type: ClassVar[str] = "job.started"
    optional: ClassVar[frozenset[str]] = frozenset({"after", "pause_seconds", "kept", "again"})
    attempt: int
    worker: str
    after: Interruption | None = None
    """What ended the previous attempt; None for the first one."""
    pause_seconds: float | None = None
    """Since the last event before."""
    kept: int | None = None
    """How many steps had finished and are not run again."""
    again: Sequence[str] | None = None
    """The interrupted steps, which start again."""


@dataclass(frozen=True, kw_only=True)
class StepPayload(Payload):
    """Base of a step's events, apart from its text."""

    stalled_after_seconds: float | None = field(default=None, compare=False)
    """Seconds until the job counts as stalled, unless it writes an event other than text before: by then the first of
    its running tool calls has been silent for three times as long as 95 % of such calls ever are. None if too little is
    known of them, or if none runs."""

    def data(self) -> dict[str, JSON]:
        values = super().data()
        if self.stalled_after_seconds is None:
            del values["stalled_after_seconds"]
        return values


@dataclass(frozen=True, kw_only=True)
class StepStarted(StepPayload):
    """A repeated one withdraws the step's text so far."""

    type: ClassVar[str] = "step.started"
    optional: ClassVar[frozenset[str]] = frozenset({"parent", "input"})
    step: str
    name: str
    kind: StepKind
    attempt: int
    parent: str | None = None
    input: JSON = None


@dataclass(kw_only=True)  # not frozen: that takes twice as long to make, and a log has thousands
class TextDelta(Payload):
    type: ClassVar[str] = "text.delta"
    step: str
    text: str

    def data(self) -> dict[str, JSON]:  # faster than `asdict`: there are thousands of them
        return {"step": self.step, "text": self.text}


@dataclass(frozen=True, kw_only=True)
class Progress(StepPayload):
    type: ClassVar[str] = "progress"
    optional: ClassVar[frozenset[str]] = frozenset({"eta_seconds"})
    step: str | None
    done: float
    total: float | None
    message: str
    eta_seconds: Sequence[float] | None = None
    """The remaining time at this event: the median, and the time that nine of ten stay below."""


@dataclass(frozen=True, kw_only=True)
class Log(StepPayload):
    type: ClassVar[str] = "log"
    step: str | None
    level: str
    message: str


@dataclass(frozen=True, kw_only=True)
class StepWaiting(StepPayload):
    """The step waits for an outside condition. Its next event ends the wait."""

    type: ClassVar[str] = "step.waiting"
    optional: ClassVar[frozenset[str]] = frozenset({"until"})
    step: str
    reason: WaitReason
    until: float | None = None
    """Unix seconds of the next try."""


@dataclass(frozen=True, kw_only=True)
class Plan(StepPayload):
    """A step's plan, each time the whole plan."""

    type: ClassVar[str] = "plan"
    step: str
    items: Sequence[Mapping[str, str]]
    """{text, status} each; the status is `pending`, `active`, `done` or `skipped`."""


@dataclass(frozen=True, kw_only=True)
class Source(StepPayload):
    """A source that the step has used, reported once: a web page, or a stored file and a page of it."""

    type: ClassVar[str] = "source"
    optional: ClassVar[frozenset[str]] = frozenset({"url", "file_id", "page"})
    step: str
    title: str
    url: str | None = None
    file_id: str | None = None
    page: int | None = None
    """From 1."""


@dataclass(frozen=True, kw_only=True)
class Artifact(StepPayload):
    type: ClassVar[str] = "artifact"
    optional: ClassVar[frozenset[str]] = frozenset({"step"})
    name: str
    mime: str
    size: int
    """Bytes."""
    step: str | None = None
    """The step that made it; None in a log of an earlier version."""


@dataclass(frozen=True, kw_only=True)
class StepFinished(StepPayload):
    """The step's checkpoint: `output`, or `error` {code, message}."""

    type: ClassVar[str] = "step.finished"
    optional: ClassVar[frozenset[str]] = frozenset({"output", "error"})
    step: str
    seconds: float
    output: JSON = None
    error: Mapping[str, JSON] | None = None


@dataclass(frozen=True, kw_only=True)
class JobCancelling(Payload):
    type: ClassVar[str] = "job.cancelling"
    by: str


@dataclass(frozen=True, kw_only=True)
class JobCompleted(Payload):
    type: ClassVar[str] = "job.completed"
    result: JSON
    usage: Mapping[str, int] | None


@dataclass(frozen=True, kw_only=True)
class JobFailedEvent(Payload):
    type: ClassVar[str] = "job.failed"
    error: Mapping[str, str]
    """{code, message}; the message is a sentence for people."""


@dataclass(frozen=True, kw_only=True)
class JobCancelled(Payload):
    type: ClassVar[str] = "job.cancelled"
    stopped: Sequence[Mapping[str, JSON]]
    """The steps that the cancel stopped: {step, name, kind, seconds} each."""


@dataclass(frozen=True, kw_only=True)
class JobIncompleteEvent(Payload):
    type: ClassVar[str] = "job.incomplete"
    reason: str
    result: JSON


@dataclass(frozen=True, kw_only=True)
class UnknownEvent:
    """An event of a type that this version does not write. Readers skip it."""


Terminal = JobCompleted | JobFailedEvent | JobCancelled | JobIncompleteEvent
"""Exactly one of these ends a log."""

KnownPayload = (
    JobQueued
    | JobEdited
    | JobStarted
    | StepStarted
    | TextDelta
    | Progress
    | Log
    | StepWaiting
    | Plan
    | Source
    | Artifact
    | StepFinished
    | JobCancelling
    | Terminal
)
EventPayload = KnownPayload | UnknownEvent
"""The payloads that readers match on."""


TERMINAL: Mapping[str, JobStatus] = {
    "job.completed": JobStatus.COMPLETED,
    "job.failed": JobStatus.FAILED,
    "job.cancelled": JobStatus.CANCELLED,
    "job.incomplete": JobStatus.INCOMPLETE,
}
"""The job's status after each terminal event type."""

_CLASSES: Mapping[str, tuple[type[KnownPayload], frozenset[str]]] = {
    payload.type: (payload, frozenset(field.name for field in fields(payload))) for payload in KnownPayload.__args__
}


def decode(type: str, data: str) -> EventPayload:
    """Returns the payload of a stored event, without fields that a later version added."""
    if type == TextDelta.type:  # nine of ten events are
        delta = from_stored(data)
        return TextDelta(step=delta["step"], text=delta["text"])
    known = _CLASSES.get(type)
    if known is None:
        return UnknownEvent()
    payload, names = known
    values = from_stored(data)
    if not values.keys() <= names:
        values = {name: value for name, value in values.items() if name in names}
    return payload(**values)
