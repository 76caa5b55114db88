"""The records of the engine: requests, jobs, and the only state machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from names import CHAT, MODEL

NEEDS_ARGUMENTS = "needs_arguments"
"""The reason of a draft's end: a person has chosen a tool, but not yet filled in its form."""
CUT_SHORT = {
    "length": "The answer reached the model's length limit.",
    "content_filter": "The answer was cut off by the model's content filter.",
    "too_long": "The answer is longer than this server allows, so it ends here.",
}
"""Sentences for people, by the reason of an answer that the model ended early. Other reasons are phrases of tools."""

THREAD_ID = re.compile(r"(?!job_|file_)[A-Za-z0-9_.:-]{1,200}")

JSON = Any
"""A value that `json.dumps` accepts: dict, list, str, int, float, bool or None."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A deleted job of which something may still be stored."""

    job_id: str
    owner: str
    root_id: str | None
    """Its artifacts and its tools' directory go, too. None: other jobs of its chain of retries need them."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that a user stored, as it is listed."""

    id: str
    owner: str
    name: str
    mime: str
    size: int
    """Bytes."""
    created_at: float
    """Unix seconds."""
    used_by: int = 0
    """The number of jobs that name it, each with its retries."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one user in the store; None: no limit."""

    queued_jobs: int | None = None
    stored_bytes: int | None = None
    """Of uploads and artifacts together."""


class JobStatus(StrEnum):
    """The states of a job, in OpenAI's words."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INCOMPLETE = "incomplete"


ACTIVE = frozenset({JobStatus.QUEUED, JobStatus.IN_PROGRESS})
ENDED = frozenset(JobStatus) - ACTIVE
RETRYABLE = ENDED - {JobStatus.COMPLETED}

TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    # A wish to cancel is a column, not a status: the status changes when the work has stopped.
    JobStatus.QUEUED: frozenset({JobStatus.IN_PROGRESS, JobStatus.CANCELLED, JobStatus.INCOMPLETE}),
    # A job that is taken over stays in progress: the epoch changes, the status does not.
    JobStatus.IN_PROGRESS: frozenset({JobStatus.IN_PROGRESS}) | ENDED,
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
    JobStatus.INCOMPLETE: frozenset(),
}


def is_thread_id(text: str) -> bool:
    """Whether a new thread may have this id. Ids of jobs and files may not: a client could pass one off as another."""
    return THREAD_ID.fullmatch(text) is not None


Overlap = Literal["next", "instead"]
"""What a turn does while another turn of its thread runs: wait, or stop it and run before the waiting turns."""


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A caller's order. It never changes: a restart runs exactly this again."""

    task: str
    """Name of a registered task: `chat`, `model`, an agent or a tool."""
    user: str
    """The user who submits the job, and the only one who may see it."""
    input: str | None = None
    """The user's message in a chat turn."""
    arguments: Mapping[str, JSON] = field(default_factory=dict)
    """The arguments of a tool, the settings of an agent."""
    thread_id: str | None = None
    """The thread that this turn belongs to; None for a job outside of threads."""
    files: tuple[str, ...] = ()
    """Ids of stored files that came with the request."""
    model: str | None = None
    """The model's name; None for the configured one."""
    patience_seconds: float | None = None
    """How long a failing model endpoint is tried again. 0: a few times. None: so, too, and an answer that broke off is
    not asked for again, because its text cannot be withdrawn."""
    key: str | None = None
    """Idempotency key, unique for each user: requests with the same key create one job."""
    agent: bool = False
    """The task is an agent's name."""

    @property
    def is_turn(self) -> bool:
        """Whether it answers a message, unlike the call of a tool."""
        return self.agent or self.task in (CHAT, MODEL)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work, as the store knows it now."""

    id: str
    request: JobRequest
    status: JobStatus
    epoch: int
    """Counts the starts. Only the holder of the newest epoch may write events."""
    worker: str | None
    """The worker that holds the epoch."""
    turn: int
    """The turn's number in its thread, 1, 2, 3 …; a retry keeps its original's."""
    retry_of: str | None
    root_id: str
    """The first job of the chain of retries. With a step's path and arguments it makes a call's idempotency key."""
    cancelled_by: str | None
    """The user who cancelled the job; None if it was not cancelled."""
    last_seq: int
    created_at: float
    """Unix seconds, as every `_at` here."""
    started_at: float | None
    finished_at: float | None
    number: int = 0
    """Numbers all jobs in the order of their submits."""

    @property
    def user(self) -> str:
        return self.request.user

    @property
    def thread_id(self) -> str | None:
        return self.request.thread_id

    @property
    def attempt(self) -> int:
        """1 for the first start; each further start adds one."""
        return self.epoch

    @property
    def is_new(self) -> bool:
        """Whether the log of this newly claimed job has no steps to continue from."""
        return self.attempt == 1 and self.retry_of is None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Queue(NamedTuple):
    """The jobs that wait for a worker."""

    jobs: int
    since: float | None
    """When the job that waits longest was submitted, in Unix seconds; None if no job waits."""

    def seconds(self, now: float) -> float:
        """Returns how long that job has waited; 0 if none does."""
        return 0.0 if self.since is None else max(0.0, now - self.since)


TRY_NOW = "try_now"
"""The message that ends a wait for the model endpoint."""


@dataclass(frozen=True, kw_only=True)
class InboxMessage:
    """A message of another process to a running job. Only the job's holder turns it into an event."""

    number: int
    type: str
    """The type of the event that it becomes, or `TRY_NOW`."""
    data: Mapping[str, JSON]
    """The data of that event; of `TRY_NOW`, who asks as `by`."""


@dataclass(frozen=True, kw_only=True)
class HeldJob:
    """The part of a running job that its holder rereads: the inbox, and the epoch, which it may have lost."""

    id: str
    epoch: int
    inbox: tuple[InboxMessage, ...]
    """Oldest first; a message stays until the holder has written it into the log."""


@dataclass(frozen=True, kw_only=True)
class Thread:
    """A conversation: a title, and jobs in turns."""

    id: str
    owner: str
    title: str
    created_at: float
    updated_at: float

    @property
    def cursor(self) -> str:
        """The thread's position in a list, newest first; valid even after the thread was deleted."""
        return f"{self.updated_at!r} {self.id}"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Where the tools of a thread, or of a chain of retries without one, keep files."""

    name: str
    """Empty for the first one."""
    left: bool
    """A job was taken over since, and its earlier worker may still write there."""


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    """A worker process as it registered itself."""

    id: str
    beat: int
    """Heartbeat counter; observers compare it, never a wall clock."""
    stopped: bool
    """An observer saw the counter stand still for the TTL, so the worker's jobs may be taken over."""
    tasks: tuple[str, ...]
    catalogue: tuple[Mapping[str, JSON], ...]
    """The tools that it offers, as JSON."""
    machine: str = ""
    """The worker's machine (`jobs.local.this_machine`). Empty: registered by an earlier version, on this one."""
    warm: bool = True
    """It has loaded all that a first job needs; until then, one waits for that."""

    @property
    def host(self) -> str:
        """The machine's name in its network."""
        return self.machine.partition("/")[0]
