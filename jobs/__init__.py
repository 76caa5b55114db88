"""The engine: durable jobs with an append-only event log. It knows nothing of chat, HTTP, models or tools."""

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
    "SchemaTooNew",
