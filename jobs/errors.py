"""The errors of the engine.

JobsError
├── JobNotFound       no such job, or another user's
├── ThreadNotFound    no such thread, or another user's
├── JobConflict       the job's state does not allow the call
├── KeyReused         an idempotency key came with two different requests
├── QueueFull         the user has too many waiting jobs: try again later
├── StorageFull       the user stores too much: delete something first
├── UploadNotFound    no such upload, or another user's
├── StoreUnavailable  the database cannot be read or written now: its disk is full, or it was busy for too long
├── SchemaTooNew      a later version has written the database
├── EpochStale        the writer no longer holds the job: stop at once, write nothing
├── RecordRefused     a tool wants to keep more than the limits allow
├── LogBehind         the log lacks the events before these: send those first
├── JobFailed         raised by task code: the job ends as failed, with this sentence
│   └── StepFailed    the same for a step; recorded, and raised again when the job is resumed
└── JobIncomplete     raised by task code: the job ends as incomplete, with its result so far
"""

from __future__ import annotations

from collections.abc import Mapping

from jobs.models import JSON


class JobsError(Exception):
    """Base of the engine's errors. The message is a sentence that may be shown to people."""


class JobNotFound(JobsError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id[:80]!r}.")


class ThreadNotFound(JobsError):
    def __init__(self, thread_id: str) -> None:
        super().__init__(f"There is no thread {thread_id[:80]!r}.")


class JobConflict(JobsError):
    pass


class KeyReused(JobsError):
    def __init__(self, key: str) -> None:
        super().__init__(f"The idempotency key {key[:80]!r} was used before with another request; use a new key.")


class QueueFull(JobsError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"Your queue is full ({limit}). Try again when some of your waiting jobs have started.")


class StorageFull(JobsError):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"You may store {limit_bytes / 1e6:,.0f} MB, and this would be more; "
            "delete files or conversations that you no longer need."
        )


class UploadNotFound(JobsError):
    def __init__(self, file_id: str) -> None:
        super().__init__(f"There is no file {file_id[:80]!r}.")


class StoreUnavailable(JobsError):
    def __init__(self) -> None:
        super().__init__("The server cannot read or write its data now. Try again later.")


class SchemaTooNew(JobsError):
    def __init__(self) -> None:
        super().__init__(
            "The database was written by a later version of Longhaul. Start that version, or restore a "
            "backup that this one has made."
        )


class EpochStale(JobsError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} was taken over by another worker.")


class RecordRefused(JobsError):
    pass


class LogBehind(JobsError):
    def __init__(self, job_id: str, after: int, last_seq: int) -> None:
        super().__init__(f"The log of job {job_id} ends at {last_seq}; events after {after} cannot be written yet.")


class JobFailed(JobsError):
    """`code` is for programs, `message` is a sentence that tells the user what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


class StepFailed(JobFailed):
    """`fields` holds a sentence for each wrong argument of a tool, by the argument's path."""

    def __init__(self, code: str, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(code, message)
        self.fields = dict(fields or {})

    @property
    def record(self) -> dict[str, JSON]:
        """The error as `step.finished` stores it."""
        return {**self.as_json(), "fields": self.fields} if self.fields else {**self.as_json()}

    @classmethod
    def from_record(cls, record: Mapping[str, JSON]) -> StepFailed:
        return cls(record["code"], record["message"], record.get("fields"))


class JobIncomplete(JobsError):
    def __init__(self, reason: str, result: JSON) -> None:
        super().__init__(reason)
        self.reason = reason
        self.result = result


def reason_for_log(failure: BaseException) -> str:
    """Returns the first line of what the failure, or its cause, says; further lines may quote what was written."""
    return str(failure.__cause__ or failure).partition("\n")[0]
