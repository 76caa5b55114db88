"""The records of the engine: what a caller asks for, what a job is, and the one state machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SHARED_USER = "local"
"""Everybody's name where nobody logs in: one person on a laptop, or a team that trusts each other."""

NEEDS_ARGUMENTS = "needs_arguments"
"""Why a draft is incomplete: a person has named a tool and has yet to fill in its form."""

THREAD_ID = re.compile(r"(?!job_|file_)[A-Za-z0-9_.:-]{1,200}")

JSON = Any
"""A value that `json.dumps` takes: dict, list, str, int, float, bool or None."""


class JobStatus(StrEnum):
    """OpenAI's words for the life of a background run."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INCOMPLETE = "incomplete"


UNFINISHED = frozenset({JobStatus.QUEUED, JobStatus.IN_PROGRESS})
FINISHED = frozenset(JobStatus) - UNFINISHED
RETRYABLE = FINISHED - {JobStatus.COMPLETED}

TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    # A wish to cancel is a column, not a status: the status changes when the work has really stopped.
    JobStatus.QUEUED: frozenset({JobStatus.IN_PROGRESS, JobStatus.CANCELLED, JobStatus.INCOMPLETE}),
    # A job that is taken over stays in progress: the epoch changes, the status does not.
    JobStatus.IN_PROGRESS: frozenset({JobStatus.IN_PROGRESS}) | FINISHED,
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
    JobStatus.INCOMPLETE: frozenset(),
}


def is_thread_id(text: str) -> bool:
    """Whether a new conversation may be called so. Ids of jobs and files are not: none may pass for another's."""
    return THREAD_ID.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What a caller asks for. Immutable: a restart runs exactly this again."""

    task: str
    """Name of a registered task: `chat` or a tool."""
    user: str
    """Who asks, and who alone may see the job."""
    input: str | None = None
    """The words of a chat turn."""
    arguments: Mapping[str, JSON] = field(default_factory=dict)
    """The arguments of a tool."""
    thread_id: str | None = None
    """The conversation this turn belongs to; None: the job stands alone."""
    files: tuple[str, ...] = ()
    """Ids of stored files that came with the request."""
    model: str | None = None
    """Model name; None: the configured one."""
    key: str | None = None
    """Idempotency key, unique per user: the same key submits once."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work, as the store knows it now."""

    id: str
    request: JobRequest
    status: JobStatus
    epoch: int
    """Counts the starts; whoever holds the newest one may write events."""
    worker: str | None
    """The worker that holds the epoch."""
    turn: int
    """Place in the thread, 1, 2, 3 …; a retry keeps its original's."""
    retry_of: str | None
    root_id: str
    """First job of a chain of retries; with a step's path it makes the tools' idempotency key."""
    cancelled_by: str | None
    """Who wished the job to stop; None: nobody."""
    last_seq: int
    created_at: float
    """Unix seconds, as every `_at` here."""
    started_at: float | None
    finished_at: float | None

    @property
    def user(self) -> str:
        return self.request.user

    @property
    def thread_id(self) -> str | None:
        return self.request.thread_id

    @property
    def attempt(self) -> int:
        """1 on the first run; each takeover adds one."""
        return self.epoch

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


@dataclass(frozen=True, kw_only=True)
class InboxMessage:
    """Something that another process wants of a running job. Only the job's holder turns it into an event."""

    number: int
    type: str
    """Of the event that it becomes."""
    data: Mapping[str, JSON]
    """Of that event."""


@dataclass(frozen=True, kw_only=True)
class HeldJob:
    """What the holder of a running job must know of it: whether it still is the holder, and what others want."""

    id: str
    epoch: int
    inbox: tuple[InboxMessage, ...]
    """What others want of the job, oldest first, until the holder has written it into the log."""


@dataclass(frozen=True, kw_only=True)
class Thread:
    """A conversation: its jobs in their turns, and a title."""

    id: str
    owner: str
    title: str
    created_at: float
    updated_at: float

    @property
    def cursor(self) -> str:
        """Its place in a list, newest first; good also when the thread is gone."""
        return f"{self.updated_at!r} {self.id}"


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    """A worker process as it announced itself."""

    id: str
    beat: int
    """Heartbeat counter; observers compare it, never a wall clock."""
    stopped: bool
    """An observer saw the counter stand still for the TTL: its jobs may be taken over."""
    tasks: tuple[str, ...]
    catalogue: tuple[Mapping[str, JSON], ...]
    """The tools it offers, as JSON."""
