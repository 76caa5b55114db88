"""The engine: durable jobs with an append-only event log. It does not depend on chat, HTTP, models or tools."""

from jobs.client import JobClient
from jobs.context import JobContext, Step, TaskFunction, Turn
from jobs.errors import (
    EpochStale,
    JobConflict,
    JobFailed,
    JobIncomplete,
    JobNotFound,
    JobsError,
    KeyReused,
    QueueFull,
    SchemaTooNew,
    StepFailed,
    StorageFull,
    StoreUnavailable,
    ThreadNotFound,
)
from jobs.events import JobEvent
from jobs.models import (
    CUT_SHORT,
    JSON,
    NEEDS_ARGUMENTS,
    Job,
    JobRequest,
    JobStatus,
    Thread,
    WorkerRecord,
    is_thread_id,
)
from jobs.store import JobFilter

__all__ = [
    "CUT_SHORT",
    "JSON",
    "NEEDS_ARGUMENTS",
    "EpochStale",
    "Job",
    "JobClient",
    "JobConflict",
    "JobContext",
    "JobEvent",
    "JobFailed",
    "JobFilter",
    "JobIncomplete",
    "JobNotFound",
    "JobRequest",
    "JobStatus",
    "JobsError",
    "KeyReused",
    "QueueFull",
    "SchemaTooNew",
    "Step",
    "StepFailed",
    "StorageFull",
    "StoreUnavailable",
    "TaskFunction",
    "Thread",
    "ThreadNotFound",
    "Turn",
    "WorkerRecord",
    "is_thread_id",
]
