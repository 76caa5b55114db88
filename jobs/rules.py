"""The engine's rules as pure functions: a store reads their arguments and writes their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, assert_never

from jobs.errors import JobConflict, KeyReused
from jobs.events import (
    Artifact,
    EventPayload,
    Interruption,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobEdited,
    JobEvent,
    JobFailedEvent,
    JobIncompleteEvent,
    JobQueued,
    JobStarted,
    KnownPayload,
    Log,
    Plan,
    Progress,
    Source,
    StepFinished,
    StepStarted,
    StepWaiting,
    TextDelta,
    UnknownEvent,
)
from jobs.models import JSON, RETRYABLE, Job, JobRequest, JobStatus
from names import SHARED_USER

TITLE_CHARACTERS = 60
PIECE_CHARACTERS = 4096
"""A retry writes the reused text of a step in pieces of this length."""
SUSPECT_DEATHS = 2
"""A job under which so many workers died since it last finished a step may be the cause."""
MAX_ALONE = 2
"""The number of suspects that run in separate workers at a time."""
MAX_DEATHS_ALONE = 8
"""After the deaths of this many workers that ran only this job, without a finished step, the job is the cause."""
ALONE = "alone_"
"""How the id of a worker begins that runs one suspect."""


# --- the queue ------------------------------------------------------------------------------------------------

PROTOCOL = 2
"""The protocol of the logs that this version writes. Raise it when earlier versions cannot resume a job from the new
log: a worker claims only jobs whose protocol it knows. Protocol 1 kept a log's length in the job's row."""
PROTOCOLS = frozenset({1, PROTOCOL})
"""The protocols that this version knows."""


def priority(request: JobRequest) -> int:
    """Returns the place in the queue, the lowest first: chat turns are first, because a person waits."""
    return 0 if request.is_turn else 1


# --- claims ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """Which jobs a worker may claim."""

    tasks: Collection[str]
    alive: Collection[str]
    """Ids of the living workers. A job in progress whose holder is not among them may be taken over."""
    user_slots: int
    """The most jobs of one user that run at a time; the shared user `local` has no such limit."""
    running: Collection[str]
    """Ids of the jobs that the claiming worker runs. Others that it claimed without getting the reply are free."""
    suspects: Collection[str] | None = None
    """Ids of the suspects that may be taken over; None: any of them. The others run in separate workers."""
    only: str | None = None
    """The id of the one job in progress that may be taken over, and nothing else; None: any."""
    protocols: Collection[int] = PROTOCOLS
    """The protocols of the logs from which the worker can resume a job."""


class JobHead(NamedTuple):
    """The fields of an active job that a claim reads."""

    id: str
    priority: int
    number: int
    """Numbers all jobs in the order of their submits."""
    protocol: int
    task: str
    user: str
    thread_id: str | None
    turn: int
    worker: str | None
    cancelled_by: str | None
    deaths: int = 0
    """The workers that died under it since it last finished a step."""

    @property
    def is_suspect(self) -> bool:
        return self.deaths >= SUSPECT_DEATHS


class Claims:
    """The jobs that one worker may claim now; `running` are the heads of all jobs in progress."""

    def __init__(self, worker: str, eligibility: Eligibility, running: Sequence[JobHead]) -> None:
        self._worker = worker
        self._eligibility = eligibility
        self._running = running
        self._busy_threads = {head.thread_id for head in running}
        jobs_of = Counter(head.user for head in running if head.user != SHARED_USER)
        self.full_users = {user for user, jobs in jobs_of.items() if jobs >= eligibility.user_slots}
        """Users whose slots are all taken: none of their queued jobs may start."""

    def lost(self) -> JobHead | None:
        """Returns the first job in progress that no worker runs. A cancelled one needs no worker with its task."""
        for head in self._running:
            if self._is_free(head) and (head.cancelled_by is not None or self._may_go_on(head)):
                return head
        return None

    def _may_go_on(self, head: JobHead) -> bool:
        if self._eligibility.only is not None:
            return head.id == self._eligibility.only and self._knows(head)
        suspects = self._eligibility.suspects
        return self._knows(head) and (suspects is None or not head.is_suspect or head.id in suspects)

    def may_begin(self, head: JobHead) -> bool:
        """Whether a queued job may start; `is_next_turn` decides between queued jobs of its thread."""
        if self._eligibility.only is not None or not self._knows(head):
            return False
        if head.thread_id is not None and head.thread_id in self._busy_threads:
            return False
        return head.user not in self.full_users

    def _knows(self, head: JobHead) -> bool:
        return head.task in self._eligibility.tasks and head.protocol in self._eligibility.protocols

    def _is_free(self, head: JobHead) -> bool:
        if head.id in self._eligibility.running:
            return False
        return head.worker == self._worker or head.worker not in self._eligibility.alive


def is_next_turn(head: JobHead, waiting: Iterable[JobHead]) -> bool:
    """Whether no earlier turn of the job's thread is waiting. A retry keeps its original's turn."""
    return all((other.turn, other.number) >= (head.turn, head.number) for other in waiting)


def isolated(suspects: Iterable[JobHead], alive: Collection[str]) -> tuple[list[JobHead], list[str]]:
    """Returns the suspects that need workers of their own now, and the ids of those that go on among others.

    Of those without a worker, the ones with the most deaths come first, then the newest, the most likely cause.
    """
    suspects = list(suspects)
    places = MAX_ALONE - sum(is_alone(head.worker) and head.worker in alive for head in suspects)
    free = [head for head in suspects if head.worker not in alive]
    free.sort(key=lambda head: (head.deaths, head.number), reverse=True)
    places = max(0, places)
    return free[:places], [head.id for head in free[places:]]


def is_alone(worker: str | None) -> bool:
    return worker is not None and worker.startswith(ALONE)


class DeathsAlone:
    """Counts the workers that ran nothing but this job and died since one of its steps last finished. Feed it the log.

    A worker that begins twice in a row did not die: its store failed.
    """

    def __init__(self) -> None:
        self._count = 0
        self._worker: str | None = None

    def feed(self, payload: EventPayload) -> None:
        if isinstance(payload, StepFinished):
            self._count = 0
        elif isinstance(payload, JobStarted):
            if is_death(payload.after) and is_alone(self._worker) and payload.worker != self._worker:
                self._count += 1
            self._worker = payload.worker

    @property
    def too_many(self) -> bool:
        """Whether the job is considered the cause of the workers' deaths."""
        return self._count >= MAX_DEATHS_ALONE


def is_death(after: Interruption | None) -> bool:
    """Whether an attempt ended with its worker, and not because that handed its jobs over."""
    return after in {"worker_died", "stalled"}


# --- wishes ---------------------------------------------------------------------------------------------------


class Stop(Enum):
    """The effect of a wish to cancel a job."""

    NOTHING = "it has ended, or was cancelled before"
    END = "no worker has started it, so it ends at once"
    TELL = "its holder gets a message and ends it"


def stop(job: Job) -> Stop:
    if job.ended or job.cancelled_by is not None:
        return Stop.NOTHING
    return Stop.END if job.status is JobStatus.QUEUED else Stop.TELL


# --- submit and retry -----------------------------------------------------------------------------------------


def check_same(request: JobRequest, earlier: Job, *, edited: bool) -> None:
    """Raises `KeyReused` when the key was used for another request, however patient. The words of an edited job differ
    from those that it was submitted with."""
    same = replace(request, patience_seconds=earlier.request.patience_seconds)
    if edited:
        same = replace(same, input=earlier.request.input)
    if earlier.request != same:
        raise KeyReused(str(request.key))


TITLE_PARTS = " · "
"""Between the words of a thread's title and the names of its files."""


def title_of(request: JobRequest) -> str:
    """Returns a short title: the beginning of the first message, cut at the end of a word."""
    words = " ".join((request.input or "").split()) or _of_tool(request)
    if len(words) <= TITLE_CHARACTERS:
        return words
    cut = words[:TITLE_CHARACTERS]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip(".,;:!?") + "…"


def _of_tool(request: JobRequest) -> str:
    """Returns the tool's name and its first argument in words, without ids of files, which mean nothing to people."""
    name = request.task.replace("_", " ")
    told = [value for value in request.arguments.values() if isinstance(value, str) and not value.startswith("file_")]
    return f"{name}: {' '.join(told[0].split())}" if told and told[0].strip() else name


def check_retryable(job: Job) -> None:
    """Raises `JobConflict` when the job cannot be retried."""
    if job.status not in RETRYABLE:
        raise JobConflict(f"The job is {job.status}; only a job that failed or was stopped can be retried.")


def retry_request(failed: JobRequest, arguments: Mapping[str, JSON] | None, files: Sequence[str]) -> JobRequest:
    """Returns the failed request with the new arguments, if any, and the additional files."""
    return replace(
        failed,
        arguments=failed.arguments if arguments is None else arguments,
        files=tuple(dict.fromkeys([*failed.files, *files])),
    )


class Reuse:
    """The events that a retry reuses: the last attempt of each step that finished without an error, and the artifacts.

    Of a finished step inside an unfinished one only the checkpoint is reused, and of a model's reasoning there nothing:
    its text, progress and log lines belong to a call that starts again. With `cut_off`, the last model step, which
    ended the job too early, runs again.
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
        self._finished -= {
            path for path, (_, one) in self._starts.items() if one.kind == "reasoning" and self._is_vain(path)
        }

    def entries(self, log: Iterable[JobEvent]) -> Iterator[tuple[KnownPayload, float]]:
        """Yields the payloads of the new log with their times. Consecutive text of a step is joined into few pieces."""
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
            case TextDelta(step=path) | Progress(step=path) | Log(step=path) | Plan(step=path) | Source(step=path):
                return path is not None and self._is_of_last_attempt(seq, path) and not self._is_inside_unfinished(path)
            case JobQueued() | JobEdited() | JobStarted() | JobCancelling() | StepWaiting():
                return False
            case JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                return False
            case _:
                assert_never(payload)

    def _is_of_last_attempt(self, seq: int, path: str) -> bool:
        return path in self._finished and seq >= self._starts[path][0]

    def _is_vain(self, reasoning: str) -> bool:
        """Whether its model's call has begun again since, or has not finished."""
        seq, started = self._starts[reasoning]
        call, _ = self._starts.get(started.parent or "", (0, None))
        return seq < call or self._is_inside_unfinished(reasoning)

    def _is_inside_unfinished(self, path: str) -> bool:
        above = self._starts[path][1].parent
        return above in self._starts and above not in self._finished


def _pieces(row: Sequence[TextDelta], at: float) -> Iterator[tuple[KnownPayload, float]]:
    text = "".join(delta.text for delta in row)
    for begin in range(0, len(text), PIECE_CHARACTERS):
        yield TextDelta(step=row[0].step, text=text[begin : begin + PIECE_CHARACTERS]), at


# --- rates ----------------------------------------------------------------------------------------------------


def reserve(free_at: float | None, seconds: float, now: float) -> tuple[float, float]:
    """Returns when a bucket's next use begins and when the bucket is free again (the generic cell rate algorithm).

    Times are Unix seconds. Negative `seconds` return what was not used.
    """
    begins = now if free_at is None else max(now, free_at)
    return begins, begins + seconds
