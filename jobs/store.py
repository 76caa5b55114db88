"""What a job store promises. SQLite is `jobs/sqlite/`; every back end passes `tests/jobs/test_store.py`."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobs.events import Entry, JobEvent
from jobs.models import JSON, HeldJob, Job, JobRequest, JobStatus, Thread, WorkerRecord
from jobs.rules import Eligibility
from jobs.transcript import Transcript


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """What to list: a user's jobs, newest first."""

    user: str
    status: JobStatus | None = None
    task: str | None = None
    thread_id: str | None = None
    limit: int = 50
    before: str | None = None
    """A job id: list what is older."""


@dataclass(frozen=True, kw_only=True)
class EndedJob:
    """What is counted and timed of a job that has ended. Unix seconds, as every `_at` here."""

    id: str
    task: str
    status: JobStatus
    created_at: float
    started_at: float | None
    """None: it ended without having run."""
    first_text_at: float | None
    """When its first words came; None: it said nothing."""
    cancelling_at: float | None
    """When a wish to stop it was obeyed."""
    finished_at: float
    usage: Mapping[str, int] | None
    """{input_tokens, output_tokens} of a completed job."""

    @property
    def place(self) -> tuple[float, str]:
        """Where it stands among those that ended."""
        return self.finished_at, self.id


class JobStore(Protocol):
    """Jobs, their event logs and their threads, in one database.

    A method is one transaction. `user` arguments make other people's things not found.
    """

    async def submit(self, request: JobRequest) -> Job:
        """Create the job, its thread if that is new, and event 1. The same key gives the same job.

        Raises `ThreadNotFound`, `KeyReused`.
        """

    async def draft(self, request: JobRequest) -> Job:
        """Create a job that is incomplete at once: a person fills in its arguments, and `retry` runs it with them.

        Raises as `submit` does.
        """

    async def retry(
        self, job_id: str, user: str, arguments: Mapping[str, JSON] | None = None, files: Sequence[str] = ()
    ) -> Job:
        """A new job that starts with the finished steps of this one. `files` come to those of the request.

        Raises `JobNotFound`, `JobConflict`, `ThreadNotFound` when its thread is being deleted.
        """

    async def claim(self, worker: str, eligibility: Eligibility) -> Job | None:
        """Take the next eligible job: next epoch, `job.started`. A job that is wished to stop is ended instead."""

    async def renew(self, job_id: str, epoch: int) -> Job:
        """Begin the job anew as its holder, under the next epoch: what is still on its way under this one is refused.

        A job that is wished to stop is ended instead. Raises `EpochStale`, `JobNotFound`.
        """

    def append(
        self,
        job_id: str,
        epoch: int,
        entries: Sequence[Entry],
        *,
        after: int,
        taken: Sequence[int] = (),
        answer: str | None = None,
    ) -> Future[int]:
        """Write events behind seq `after` as the holder of the epoch, in the order of the calls.

        The result is the last seq. A terminal event ends the job; `answer` is then the text that the search finds.
        `taken`: numbers of the inbox messages that these events are; they leave the inbox in the same transaction.
        Entries that stand there already, because the answer to an earlier call was lost, are not written twice.
        Raises `EpochStale`, `JobNotFound`, and `LogBehind` when the log does not reach `after`.
        """

    async def request_cancel(self, job_id: str, by: str) -> Job:
        """Record the wish: in the inbox of the holder, or by ending the job if nobody has begun it.

        Harmless on a finished job.
        """

    async def settle(self) -> None:
        """Make the answers known to the search that jobs had given when they were ended by others than their holder."""

    async def get(self, job_id: str, user: str | None = None) -> Job:
        """Raises `JobNotFound`."""

    async def jobs(self, query: JobFilter) -> list[Job]: ...

    async def counts(self) -> dict[tuple[str, JobStatus], int]:
        """How many jobs there are, by task and status."""

    async def ended(self, after: tuple[float, str], limit: int) -> list[EndedJob]:
        """Those that ended behind this place, in the order of their ends.

        Who asks again must look back a little: an end is stamped before it is committed.
        """

    async def held(self, worker: str) -> list[HeldJob]:
        """The unfinished jobs whose epoch this worker holds."""

    async def position(self, job_id: str) -> int | None:
        """How many queued jobs are before this one; None when it is not queued."""

    async def positions(self, jobs: Sequence[Job]) -> dict[str, int]:
        """`position` of those that are queued, by their ids, in one look."""

    async def read(self, job_id: str, after: int, limit: int) -> list[JobEvent]: ...

    async def read_many(self, after: Mapping[str, int], limit: int) -> list[JobEvent]:
        """The events behind each job's seq, at most `limit` a job, in one read."""

    async def last_seqs(self, job_ids: Sequence[str]) -> dict[str, int]:
        """The log's length of those jobs that exist."""

    async def milestones(self, job_id: str) -> list[JobEvent]:
        """All events but text and progress: steps, artifacts, logs, the end."""

    async def summaries(self, jobs: Sequence[Job]) -> dict[str, Transcript]:
        """Progress, artifacts and end of each, by the jobs' ids; neither text nor steps."""

    async def delete_job(self, job_id: str, user: str) -> Job | None:
        """Gives the job when it was the last of its chain of retries: what the chain made is nobody's any more.

        Raises `JobNotFound`, `JobConflict` while it runs.
        """

    async def thread(self, thread_id: str, owner: str | None = None) -> Thread:
        """Raises `ThreadNotFound`."""

    async def threads(self, owner: str, *, search: str | None, limit: int, before: str | None) -> list[Thread]:
        """Newest first; `search` looks in titles, questions and answers; `before` is a thread's `cursor`."""

    async def thread_jobs(self, thread_id: str) -> list[Job]:
        """The turns in order, the newest of each chain of retries."""

    async def rename_thread(self, thread_id: str, owner: str, title: str) -> None: ...

    async def delete_thread(self, thread_id: str, owner: str) -> list[Job]:
        """Hide it and wish its jobs to stop; gives the unfinished ones. `purge_thread` follows when they ended."""

    async def deleted_threads(self) -> list[Thread]:
        """Hidden threads whose jobs have all ended."""

    async def unused_files(self, user: str, files: Sequence[str], *, without_thread: str | None = None) -> list[str]:
        """Those of the files that came with no job of the user; the jobs of `without_thread` do not count."""

    async def purge_thread(self, thread_id: str) -> None:
        """Delete the thread, its jobs and their logs."""

    async def register_worker(self, record: WorkerRecord) -> None: ...

    async def remove_worker(self, worker: str) -> None: ...

    async def workers(self) -> list[WorkerRecord]: ...

    def beat(self, worker: str) -> None:
        """Advance the heartbeat counter, soon. Callable from any thread."""

    async def declare_stopped(self, worker: str, beat: int) -> bool:
        """Say that the worker stands still, unless its counter moved on from `beat`, or somebody has said so.

        Returns whether this call has said it.
        """

    async def tools(self) -> list[Mapping[str, JSON]]:
        """What the workers offer, by name; the last known while there is no worker."""

    async def reserve(self, bucket: str, amount: float, per_minute: float) -> float:
        """Take an amount of what the bucket lets through in a minute; gives the seconds to wait before using it.

        Evenly spread, without bursts. A negative amount gives back.
        """

    async def ping(self) -> None:
        """Raises when the database is out of reach."""
