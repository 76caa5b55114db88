"""What the API says of a job beside what is stored."""

from __future__ import annotations

from typing import Any

import pytest

from api.job_view import view
from jobs import JobStatus
from jobs.transcript import Transcript
from tests.handlers.screens import Line, job, log, progress, started

CALL = "model:1/call:0"
ETA: Line = ("progress", {"step": CALL, "done": 3, "total": 9, "message": "", "eta_seconds": [6.0, 9.0]})


def shown(*lines: Line, stalled_at: float | None = None, status: JobStatus = JobStatus.IN_PROGRESS) -> dict[str, Any]:
    summary = Transcript.of(log(*lines))
    summary.stalled_at = stalled_at
    return view(job(status=status), summary, None, None, now=1000.0)


@pytest.mark.parametrize(("at", "state"), [(1001.0, "working"), (999.0, "stalled"), (None, "working")])
def test_a_job_is_stalled_from_when_its_last_word_says(at: float | None, state: str) -> None:
    assert shown(started(CALL, "tool"), stalled_at=at)["state"] == state
    assert shown(started(CALL, "tool"), stalled_at=at, status=JobStatus.FAILED)["state"] == "failed"


def test_the_time_left_is_told_while_the_job_runs() -> None:
    assert shown(started(CALL, "tool"), ETA)["eta_seconds"] == [6.0, 9.0]
    assert shown(started(CALL, "tool"), progress(CALL, 3, 9))["eta_seconds"] is None
    assert shown(started(CALL, "tool"), ETA, status=JobStatus.FAILED)["eta_seconds"] is None
