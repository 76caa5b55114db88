"""The operator's view of jobs: a log line per transition, with the job's ids as fields.

No line holds user content or a secret.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from jobs.models import Job
from jobs.transitions import Change, Transition

logger = logging.getLogger(__name__)


def of_job(job: Job, **more: object) -> Mapping[str, Any]:
    """The `extra` of a line about a job; fields that are None are not written."""
    known = {
        "job": job.id,
        "task": job.request.task,
        "thread": job.thread_id,
        "user": job.user,
        "attempt": job.attempt or None,
    }
    return {"fields": known | more}


def write(transition: Transition) -> None:
    """One line, in the log of the process that made the transition."""
    job = transition.job
    match transition.change:
        case Change.SUBMITTED:
            logger.info("job submitted", extra=of_job(job))
        case Change.DRAFTED:
            logger.info("job drafted", extra=of_job(job))
        case Change.RETRIED:
            logger.info("job retried", extra=of_job(job, retry_of=job.retry_of))
        case Change.CLAIMED:
            waited = _seconds(job.created_at, job.started_at)
            logger.info("job claimed", extra=of_job(job, worker=job.worker, seconds=waited))
        case Change.TAKEN_OVER:
            logger.info("job taken over", extra=of_job(job, worker=job.worker))
        case Change.BEGUN_AGAIN:
            logger.info("job begun again", extra=of_job(job, worker=job.worker))
        case Change.CANCEL_REQUESTED:
            logger.info("cancel requested", extra=of_job(job, by=job.cancelled_by))
        case Change.ENDED:
            worked = _seconds(job.started_at or job.created_at, job.finished_at)
            ended = of_job(job, status=job.status.value, reason=transition.reason, seconds=worked)
            logger.info("job ended", extra=ended)


def _seconds(begun: float, ended: float | None) -> float:
    """A clock that was set back must not make them negative."""
    return round(max(0.0, (ended or begun) - begun), 3)
