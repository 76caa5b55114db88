"""What the API says of a job beside what is stored."""

from __future__ import annotations

import pytest

from api.job_view import view
from jobs import JobStatus
from jobs.transcript import Transcript
from tests.handlers.screens import Line, job, log, progress, started

CALL = "model:1/call:0"
ETA: Line = ("progress", {"step": CALL, "done": 3, "total": 9, "message": "", "eta_seconds": [6.0, 9.0]})


def shown(*lines: Line, heard_at: float, status: JobStatus = JobStatus.IN_PROGRESS) -> tuple[str, list[float] | None]:
    summary = Transcript.of(log(*lines))
    summary.heard_at = heard_at
    seen = view(job(status=status), summary, None, None, now=1000.0)
    return seen["state"], seen["eta_seconds"]


@pytest.mark.parametrize(
    ("usual", "silent", "state"), [(20.0, 59.0, "working"), (20.0, 61.0, "stalled"), (None, 900.0, "working")]
)
def test_a_tool_that_is_silent_for_three_times_as_long_as_usual_is_stalled(
    usual: float | None, silent: float, state: str
) -> None:
    step = started(CALL, "tool", **({"usual_silence_seconds": usual} if usual else {}))
    assert shown(step, heard_at=1000.0 - silent)[0] == state


def test_the_time_left_is_told_while_the_job_runs() -> None:
    assert shown(started(CALL, "tool"), ETA, heard_at=999.0) == ("working", [6.0, 9.0])
    assert shown(started(CALL, "tool"), progress(CALL, 3, 9), heard_at=999.0) == ("working", None)
    assert shown(started(CALL, "tool"), ETA, heard_at=999.0, status=JobStatus.FAILED) == ("failed", None)
