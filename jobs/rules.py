"""The engine's rules, as pure functions: a store reads what they ask for, and writes what they decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from jobs.errors import JobConflict, KeyReused
from jobs.events import (
    Artifact,
    EventPayload,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobEvent,
    JobFailedEvent,
    JobIncompleteEvent,
    JobQueued,
    JobStarted,
    KnownPayload,
    Log,
    Progress,
    StepFinished,
    StepStarted,
    TextDelta,
    UnknownEvent,
)
from jobs.models import JSON, RETRYABLE, SHARED_USER, Job, JobRequest, JobStatus

TITLE_CHARACTERS = 60
PIECE_CHARACTERS = 4096
"""Text of one step that a retry takes over is written in pieces of this length, however it was streamed."""
MAX_FRUITLESS_ATTEMPTS = 8
"""A job that so many workers began without finishing a step is taken for the cause of their deaths."""


# --- claims ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """Which jobs a worker may claim."""

    tasks: Collection[str]
    alive: Collection[str]
    """Workers that hold their jobs. A job in progress whose holder is not among them is free to be taken over."""
    user_slots: int
    """Jobs of one user that run at a time; the shared user `local` has no such bound."""
    running: Collection[str]
    """Ids of the jobs that the claiming worker runs. What else it holds, by a claim whose answer was lost, is free."""


@dataclass(frozen=True, kw_only=True)
class JobHead:
    """What a claim must know of an unfinished job."""

    id: str
    number: int
    """Counts all jobs: the order of the queue."""
    task: str
    user: str
    thread_id: str | None
    turn: int
    worker: str | None
    cancelled: bool


class Claims:
    """What one worker may claim now; `running` are the heads of all jobs in progress."""

    def __init__(self, worker: str, eligibility: Eligibility, running: Sequence[JobHead]) -> None:
        self._worker = worker
        self._eligibility = eligibility
        self._running = running
        self._busy_threads = {head.thread_id for head in running}
        jobs_of = Counter(head.user for head in running if head.user != SHARED_USER)
        self.full_users = {user for user, jobs in jobs_of.items() if jobs >= eligibility.user_slots}
        """All of their slots are taken: none of their queued jobs need be looked at."""

    def lost(self) -> JobHead | None:
        """The first job in progress that nobody runs. One that is wished to stop needs nobody who has its task."""
        for head in self._running:
            if self._is_free(head) and (head.cancelled or head.task in self._eligibility.tasks):
                return head
        return None

    def may_begin(self, head: JobHead) -> bool:
        """Whether a queued job may start, unless an earlier turn of its thread waits as well."""
        if head.task not in self._eligibility.tasks:
            return False
        if head.thread_id is not None and head.thread_id in self._busy_threads:
            return False
        return head.user not in self.full_users

    def _is_free(self, head: JobHead) -> bool:
        if head.worker == self._worker:
            return head.id not in self._eligibility.running
        return head.worker not in self._eligibility.alive


def is_next_turn(head: JobHead, waiting: Iterable[JobHead]) -> bool:
    """Whether no earlier turn is among those of its thread that wait. A retry keeps its original's turn."""
    return all((other.turn, other.number) >= (head.turn, head.number) for other in waiting)


class FruitlessAttempts:
    """Feed a log: how many workers began the job, the present one included, since a step of it last finished.

    A worker that begins again has not died: the store failed it.
    """

    def __init__(self) -> None:
        self._count = 0
        self._worker: str | None = None

    def feed(self, payload: EventPayload) -> None:
        if isinstance(payload, StepFinished):
            self._count = 0
        elif isinstance(payload, JobStarted) and payload.worker != self._worker:
            self._count += 1
            self._worker = payload.worker

    @property
    def too_many(self) -> bool:
        """The job is taken for the cause of the workers' deaths."""
        return self._count > MAX_FRUITLESS_ATTEMPTS


# --- wishes ---------------------------------------------------------------------------------------------------


class Stop(Enum):
    """What a wish to stop a job does."""

    NOTHING = "it has ended, or is wished to stop already"
    END = "nobody has begun it: it ends here"
    TELL = "its holder is told"


def stop(job: Job) -> Stop:
    if job.finished or job.cancelled_by is not None:
        return Stop.NOTHING
    return Stop.END if job.status is JobStatus.QUEUED else Stop.TELL


# --- submit and retry -----------------------------------------------------------------------------------------


def check_same(request: JobRequest, earlier: Job) -> None:
    """Raises `KeyReused` when the key was used for another request."""
    if earlier.request != request:
        raise KeyReused(str(request.key))


def title_of(request: JobRequest) -> str:
    """A short title cut from the first message, at a word's end."""
    words = " ".join((request.input or "").split()) or request.task.replace("_", " ")
    if len(words) <= TITLE_CHARACTERS:
        return words
    cut = words[:TITLE_CHARACTERS]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip(".,;:!?") + "…"


def check_retryable(job: Job) -> None:
    """Raises `JobConflict`."""
    if job.status not in RETRYABLE:
        raise JobConflict(f"The job is {job.status}; only a job that failed or was stopped can be retried.")


def retry_request(failed: JobRequest, arguments: Mapping[str, JSON] | None, files: Sequence[str]) -> JobRequest:
    """The failed request, with other arguments if there are any, and with more files."""
    return replace(
        failed,
        arguments=failed.arguments if arguments is None else arguments,
        files=tuple(dict.fromkeys([*failed.files, *files])),
    )


class Reuse:
    """What a retry takes over: the last attempt of each step that finished without an error, and the artifacts.

    Of a step inside an unfinished one only the checkpoint: what it said belongs to a call that begins anew.
    `cut_off`: the last model step ended the job before its time, and is asked again.
    """

    def __init__(self, milestones: Sequence[JobEvent], *, cut_off: bool) -> None:
        self._starts: dict[str, tuple[int, StepStarted]] = {}
        self._finished: set[str] = set()
        for event in milestones:
            match event.payload:
                case StepStarted() as started:
                    self._starts[started.step] = event.seq, started
                case StepFinished(step=path, error=None):
                    self._finished.add(path)
        if cut_off:
            models = [path for path, (_, one) in self._starts.items() if one.kind == "model" and not one.parent]
            self._finished -= set(models[-1:])

    def entries(self, log: Iterable[JobEvent]) -> Iterator[tuple[KnownPayload, float]]:
        """What to write into the new log, with its times. Text of a step in a row comes in few pieces."""
        row: list[TextDelta] = []
        at = 0.0
        for event in log:
            payload = event.payload
            if row and not (isinstance(payload, TextDelta) and payload.step == row[0].step):
                yield from _pieces(row, at)
                row = []
            if isinstance(payload, UnknownEvent) or not self._is_reused(event.seq, payload):
                continue
            if isinstance(payload, TextDelta):
                row.append(payload)
                at = event.at
            else:
                yield payload, event.at
        yield from _pieces(row, at)

    def _is_reused(self, seq: int, payload: KnownPayload) -> bool:
        match payload:
            case Artifact():
                return True
            case StepStarted(step=path) | StepFinished(step=path):
                return self._is_of_last_attempt(seq, path)
            case TextDelta(step=path) | Progress(step=path) | Log(step=path):
                return path is not None and self._is_of_last_attempt(seq, path) and not self._is_inside_unfinished(path)
            case JobQueued() | JobStarted() | JobCancelling():
                return False
            case JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                return False
            case _:
                assert_never(payload)

    def _is_of_last_attempt(self, seq: int, path: str) -> bool:
        return path in self._finished and seq >= self._starts[path][0]

    def _is_inside_unfinished(self, path: str) -> bool:
        above = self._starts[path][1].parent
        return above in self._starts and above not in self._finished


def _pieces(row: Sequence[TextDelta], at: float) -> Iterator[tuple[KnownPayload, float]]:
    text = "".join(delta.text for delta in row)
    for begin in range(0, len(text), PIECE_CHARACTERS):
        yield TextDelta(step=row[0].step, text=text[begin : begin + PIECE_CHARACTERS]), at


# --- rates ----------------------------------------------------------------------------------------------------


def reserve(free_at: float | None, seconds: float, now: float) -> tuple[float, float]:
    """When a bucket's next use begins, and when the bucket is free again (the generic cell rate algorithm).

    Unix seconds. A negative length gives back what was not used.
    """
    begins = now if free_at is None else max(now, free_at)
    return begins, begins + seconds
