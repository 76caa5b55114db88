"""The protocol of a job store.

`jobs/sql/` implements it on SQLite and PostgreSQL; every store passes `tests/jobs/test_store.py`.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobs.estimates import Range, Run
from jobs.events import Entry, JobEvent
from jobs.models import (
    JSON,
    Folder,
    HeldJob,
    Job,
    JobRequest,
    JobStatus,
    Overlap,
    Queue,
    Removal,
    Thread,
    Upload,
    WorkerRecord,
)
from jobs.rules import Eligibility, JobHead
from jobs.transcript import Transcript


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs to list, newest first."""

    user: str | None
    """None: everybody's."""
    status: JobStatus | None = None
    task: str | None = None
    thread_id: str | None = None
    limit: int = 50
    before: str | None = None
    """A job id: list older jobs only."""


@dataclass(frozen=True, kw_only=True)
class EndedJob:
    """The counted and timed facts of a job that has ended. Each `_at` is in Unix seconds."""

    id: str
    task: str
    status: JobStatus
    created_at: float
    started_at: float | None
    """None if it ended without having run."""
    first_text_at: float | None
    """When its first text came; None if none came."""
    cancelling_at: float | None
    """When its holder obeyed a cancel."""
    finished_at: float
    usage: Mapping[str, int] | None
    """{input_tokens, output_tokens} of a completed job."""

    @property
    def cursor(self) -> tuple[float, str]:
        """The job's position among the ended ones, for `JobStore.ended`."""
        return self.finished_at, self.id


class JobStore(Protocol):
    """Jobs, their event logs and their threads, in one database.

    Each method is one transaction. Methods with a `user` do not find other people's things.
    """

    async def submit(self, request: JobRequest, overlap: Overlap = "next") -> Job:
        """Create the job, its thread if that is new, and event 1. Returns the earlier job when its key is the same.

        `instead` cancels the thread's running job, and puts the new one before those that wait.

        Raises `ThreadNotFound`, `KeyReused`, `QueueFull`.
        """

    async def draft(self, request: JobRequest) -> Job:
        """Create a job that ends at once as incomplete; a person fills in its arguments, and `retry` runs it with them.

        Raises `ThreadNotFound`, `KeyReused`.
        """

    async def retry(
        self, job_id: str, user: str, arguments: Mapping[str, JSON] | None = None, files: Sequence[str] = ()
    ) -> Job:
        """Create a new job that starts with the finished steps of this one. `files` are added to those of the request.

        Raises `JobNotFound`, `JobConflict`, `QueueFull`, and `ThreadNotFound` when its thread is being deleted.
        """

    async def claim(self, worker: str, eligibility: Eligibility) -> Job | None:
        """Take the next eligible job: raise its epoch and write `job.started`. Ends a cancelled job instead."""

    async def renew(self, job_id: str, epoch: int) -> Job:
        """Start the job again as its holder, under the next epoch. Writes that are still on their way are then refused.

        Ends a cancelled job instead. Raises `EpochStale`, `JobNotFound`.
        """

    async def release(self, job_id: str, epoch: int) -> None:
        """Let other workers claim a job that its holder leaves. Does nothing when another worker has claimed it."""

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
        """Write events after seq `after` as the holder of the epoch, in the order of the calls.

        The future's result is the last seq. A terminal event ends the job; `answer` is then the text that the search
        finds. `taken` are the numbers of inbox messages that these events replace, in the same transaction. Entries
        that the log already has, because the reply to an earlier call was lost, are not written twice.
        Raises `EpochStale`, `JobNotFound`, and `LogBehind` when the log does not reach `after`.
        """

    async def request_cancel(self, job_id: str, user: str, by: str | None = None) -> Job:
        """Tell the holder of a running job that its user, or an administrator `by`, wants to stop it; end a queued one.

        Does nothing to an ended job. Raises `JobNotFound`, also for another user's job.
        """

    async def try_now(self, job_id: str, user: str) -> Job:
        """Ask the holder of a job that waits for the model endpoint to go on at once. Does nothing to another job.

        Raises `JobNotFound`.
        """

    async def edit(self, job_id: str, user: str, text: str) -> Job:
        """Replace the words of a job that waits. Raises `JobNotFound`, and `JobConflict` once it has begun."""

    async def settle(self) -> None:
        """Store for the search the answers of jobs that another process than their holder ended."""

    async def get(self, job_id: str, user: str | None = None) -> Job:
        """Raises `JobNotFound`."""

    async def jobs(self, query: JobFilter) -> list[Job]: ...

    async def changed_jobs(self, user: str | None, since: float, limit: int) -> list[Job]:
        """Returns the user's jobs that have not ended, or that ended at `since` (Unix seconds) or later; of each kind
        at most `limit`."""

    async def counts(self) -> dict[tuple[str, JobStatus], int]:
        """Returns the number of jobs by task and status."""

    async def queue(self) -> Queue:
        """Returns how many jobs wait, also those that their thread or their user's slots hold back."""

    async def ended(self, after: tuple[float, str], limit: int) -> list[EndedJob]:
        """Returns the jobs that ended after this cursor, in the order of their ends.

        A caller that asks again must start a little earlier: an end is stamped before it is committed.
        """

    async def held(self, worker: str) -> list[HeldJob]:
        """Returns the active jobs whose epoch this worker holds."""

    async def position(self, job_id: str) -> int | None:
        """Returns the number of queued jobs before this one, or None when it is not queued."""

    async def positions(self, jobs: Sequence[Job]) -> dict[str, int]:
        """Returns the `position` of each queued one, by job id, from one read of the queue."""

    async def read(self, job_id: str, after: int, limit: int) -> list[JobEvent]: ...

    async def read_many(self, after: Mapping[str, int], limit: int) -> list[JobEvent]:
        """Returns the events after each job's seq, at most `limit` of each job, from one read."""

    async def last_seqs(self, job_ids: Sequence[str]) -> dict[str, int]:
        """Returns the log's length of each job that exists."""

    async def milestones(self, job_id: str) -> list[JobEvent]:
        """Returns all events except text and progress: steps, artifacts, log lines, the end."""

    async def summaries(self, jobs: Sequence[Job]) -> dict[str, Transcript]:
        """Returns the progress, artifacts and end of each job, by job id, without text and steps."""

    async def delete_job(self, job_id: str, user: str) -> Removal:
        """Hide the job for good; `finish_removal` follows once its files are gone.

        Raises `JobNotFound`, and `JobConflict` while the job runs.
        """

    async def removals(self) -> list[Removal]:
        """Returns those that are not finished."""

    async def finish_removal(self, removal: Removal) -> None:
        """Delete the job's events, and the removal itself."""

    async def thread(self, thread_id: str, owner: str | None = None) -> Thread:
        """Raises `ThreadNotFound`."""

    async def threads(self, owner: str, *, search: str | None, limit: int, before: str | None) -> list[Thread]:
        """Returns the threads, newest first. `search` looks in titles, questions and answers; `before` is a cursor."""

    async def thread_jobs(self, thread_id: str) -> list[Job]:
        """Returns the turns in order, each as the newest job of its chain of retries."""

    async def rename_thread(self, thread_id: str, owner: str, title: str) -> None: ...

    async def delete_thread(self, thread_id: str, owner: str, *, idle_since: float | None = None) -> list[Job]:
        """Hide the thread, cancel its jobs, return the active ones. `purge_thread` follows once those end.

        With `idle_since` (Unix seconds), raises `ThreadNotFound` also when something has happened in it since.
        """

    async def deleted_threads(self) -> list[Thread]:
        """Returns the hidden threads whose jobs have all ended."""

    async def unused_files(self, user: str, files: Sequence[str], *, without_thread: str | None = None) -> list[str]:
        """Returns those files that came with no job of the user, not counting the jobs of `without_thread`."""

    async def purge_thread(self, thread_id: str) -> None:
        """Delete the thread, its jobs and their logs."""

    async def expired_threads(self, before: float, limit: int) -> list[Thread]:
        """Returns threads in which nothing has happened since `before` (Unix seconds), the oldest first."""

    async def expired_jobs(self, before: float, limit: int) -> list[Job]:
        """Returns jobs without a thread that ended before this time, the oldest first."""

    async def add_upload(self, upload: Upload, *, limited: bool = True) -> None:
        """List an upload. Raises `StorageFull` when its owner would store more than the limit, if it is `limited`."""

    async def uploads(self, owner: str, *, limit: int, before: str | None = None) -> list[Upload]:
        """Returns the owner's uploads, newest first; `before` is the id of one: only older ones."""

    async def remove_upload(self, file_id: str, owner: str) -> None:
        """Strike an upload off the list. Raises `UploadNotFound`, and `JobConflict` while a job that has not ended
        uses it."""

    async def strike_unused_uploads(self, files: Sequence[str]) -> list[str]:
        """Strike off those of these uploads that no job names now. Returns their ids."""

    async def forget_uploads(self, files: Sequence[str]) -> None:
        """Strike off what is deleted."""

    async def unused_uploads(self, since: float, limit: int) -> list[Upload]:
        """Returns uploads from before `since` (Unix seconds) that no job names."""

    async def unlisted_uploads(self, files: Sequence[str]) -> list[str]:
        """Returns those of these ids that are not listed."""

    async def stored_bytes(self, owner: str) -> int:
        """Returns the size of the owner's uploads and artifacts."""

    async def add_artifact(self, job: Job, name: str, size: int) -> None:
        """Count an artifact that is about to be stored, in place of an earlier one of this name, as the holder of the
        epoch. Raises `EpochStale`, `JobNotFound`, `StorageFull`."""

    async def register_worker(self, record: WorkerRecord) -> None: ...

    async def remove_worker(self, worker: str) -> None: ...

    async def workers(self) -> list[WorkerRecord]: ...

    def beat(self, worker: str) -> None:
        """Advance the heartbeat counter soon. Callable from any thread."""

    async def declare_stopped(self, worker: str, beat: int) -> bool:
        """Mark the worker as stopped, unless its counter has moved on from `beat` or it is marked already.

        Returns whether this call has marked it.
        """

    async def suspects(self) -> list[JobHead]:
        """Returns the jobs in progress under which workers died since they last finished a step."""

    async def tools(self) -> list[Mapping[str, JSON]]:
        """Returns the tools that workers offer, by name; without workers, those offered last."""

    async def reserve(self, bucket: str, amount: float, per_minute: float) -> float:
        """Take an amount of the bucket's rate per minute. Returns the seconds to wait before using it.

        Uses are spread evenly, without bursts. A negative amount returns what was not used.
        """

    async def put_record(self, job: Job, key: str, value: JSON) -> str:
        """Keep a value for the thread, or for the chain of retries of a job without one, as the holder of the epoch.

        Returns its version. Raises `EpochStale`, `JobNotFound`, and `RecordRefused` beyond a limit.
        """

    async def delete_record(self, job: Job, key: str) -> None:
        """Raises `EpochStale`, `JobNotFound`."""

    async def record(self, job: Job, key: str) -> JSON:
        """Returns the value, or None if there is none."""

    async def records(self, job: Job, prefix: str) -> list[tuple[str, str]]:
        """Returns key and version of the records whose keys begin so, in the order of their first puts."""

    async def folder(self, job: Job) -> Folder:
        """Returns the folder of the thread, or of the chain of retries of a job without one. Raises `EpochStale`,
        `JobNotFound`."""

    async def move_folder(self, job: Job, name: str) -> None:
        """From now on the folder has this name, which was never used before, and is in use.

        Raises `EpochStale`, `JobNotFound`.
        """

    def add_run(self, run: Run) -> None:
        """Keep soon how a tool call or a job went."""

    async def runs(self, name: str) -> list[Run]:
        """Returns how the newest runs of this name went, oldest first."""

    async def waits(self, jobs: Sequence[Job]) -> dict[str, Range]:
        """Returns by job id how long those that are queued may still wait, if enough is known of those before them."""

    async def ping(self) -> None:
        """Raises `StoreUnavailable` when the database cannot be read."""

    async def is_writable(self) -> bool:
        """Whether writes are accepted at once: no other program holds the database's lock, and no disk is stuck."""
