"""A log drawn as spans, from tables of events."""

from __future__ import annotations

from collections.abc import Sequence

from jobs import Job, JobEvent, JobStatus
from jobs.events import (
    JobCancelled,
    JobCompleted,
    JobFailedEvent,
    JobQueued,
    JobStarted,
    Log,
    Payload,
    StepFinished,
    StepStarted,
)
from services.spans import MAX_STEPS, Span, draw, span_id, trace_id
from tests.jobs.engine import chat, logged

DONE = JobCompleted(result={"text": "secret words"}, usage={"input_tokens": 3, "output_tokens": 5})


def job(status: JobStatus, **fields: object) -> Job:
    values: dict[str, object] = {
        "id": "job_1",
        "request": chat("secret words"),
        "status": status,
        "epoch": 1,
        "worker": "w1",
        "turn": 0,
        "retry_of": None,
        "root_id": "job_1",
        "cancelled_by": None,
        "last_seq": 0,
        "created_at": 100.0,
        "started_at": 101.0,
        "finished_at": 199.0,
    }
    return Job(**values | fields)  # type: ignore[arg-type]


def log(*payloads: Payload) -> list[JobEvent]:
    """Event n at second 100 + n."""
    whole = [JobQueued(position=0), *payloads]
    return [logged(seq, one.type, one.data(), at=100.0 + seq) for seq, one in enumerate(whole, 1)]


def started(attempt: int = 1) -> JobStarted:
    return JobStarted(attempt=attempt, worker=f"w{attempt}")


def begin(path: str, kind: str = "model", name: str = "gpt", parent: str | None = None, attempt: int = 1) -> Payload:
    return StepStarted(step=path, name=name, kind=kind, attempt=attempt, parent=parent, input="secret words")  # type: ignore[arg-type]


def finish(path: str, error: dict[str, str] | None = None) -> Payload:
    return StepFinished(step=path, seconds=1, output="secret words", error=error)


def tree(spans: Sequence[Span]) -> list[str]:
    """`parent/name begin-end error` of each, seconds from the job's beginning."""
    names = {span.id: span.name for span in spans}
    return sorted(
        f"{names.get(span.parent or 0, '')}/{span.name} {span.begun - 100:g}-{span.ended - 100:g}"
        + (f" {span.error}" if span.error else "")
        for span in spans
    )


def test_a_job_is_its_wait_its_attempt_and_its_steps() -> None:
    events = log(
        started(),
        begin("model:1"),
        finish("model:1"),
        begin("model:1/call:0", "tool", "add", parent="model:1"),
        begin("model:1/call:0/part:0", "part", "secret words.pdf", parent="model:1/call:0"),
        finish("model:1/call:0/part:0"),
        finish("model:1/call:0"),
        Log(step=None, level="info", message="secret words"),
        DONE,
    )
    spans = draw(job(JobStatus.COMPLETED), events)
    assert tree(spans) == [
        "/job chat 0-10",
        "attempt/model gpt 3-4",
        "job chat/attempt 2-10",
        "job chat/queue 0-2",
        "model gpt/tool add 5-8",
        "tool add/part 6-7",
    ]
    assert spans[-1].attributes == {
        "longhaul.job.id": "job_1",
        "longhaul.job.task": "chat",
        "longhaul.job.status": "completed",
        "longhaul.job.attempts": 1,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
    }
    assert "secret" not in repr(spans)
    assert len({span.id for span in spans}) == len(spans)


def test_a_killed_worker_leaves_two_attempts() -> None:
    events = log(started(1), begin("model:1"), started(2), begin("model:1", attempt=2), finish("model:1"), DONE)
    assert tree(draw(job(JobStatus.COMPLETED), events)) == [
        "/job chat 0-7",
        "attempt/model gpt 3-4 interrupted",
        "attempt/model gpt 5-6",
        "job chat/attempt 2-4 interrupted",
        "job chat/attempt 4-7",
        "job chat/queue 0-2",
    ]


def test_what_failed_carries_its_code() -> None:
    error = {"code": "model_unreachable", "message": "secret words"}
    spans = draw(job(JobStatus.FAILED), log(started(), begin("m"), finish("m", error), JobFailedEvent(error=error)))
    assert tree(spans) == [
        "/job chat 0-5 model_unreachable",
        "attempt/model gpt 3-4 model_unreachable",
        "job chat/attempt 2-5 model_unreachable",
        "job chat/queue 0-2",
    ]
    assert "secret" not in repr(spans)


def test_a_step_that_was_stopped_ends_with_the_job() -> None:
    spans = draw(job(JobStatus.CANCELLED), log(started(), begin("m"), JobCancelled(stopped=[])))
    assert tree(spans) == [
        "/job chat 0-4",
        "attempt/model gpt 3-4 cancelled",
        "job chat/attempt 2-4",
        "job chat/queue 0-2",
    ]


def test_a_job_that_never_began_only_waited() -> None:
    spans = draw(job(JobStatus.CANCELLED, started_at=None), log(JobCancelled(stopped=[])))
    assert tree(spans) == ["/job chat 0-2", "job chat/queue 0-2"]


def test_a_step_that_began_anew_withdraws_what_it_was() -> None:
    events = log(started(), begin("m"), begin("m", attempt=2), finish("m"), DONE)
    assert [line for line in tree(draw(job(JobStatus.COMPLETED), events)) if "model" in line] == [
        "attempt/model gpt 3-4 withdrawn",
        "attempt/model gpt 4-5",
    ]


def test_a_retry_hangs_on_its_original_and_leaves_it_the_steps_that_it_took_over() -> None:
    retry = job(JobStatus.COMPLETED, id="job_2", retry_of="job_1")
    spans = draw(retry, log(begin("model:1"), finish("model:1"), started(), DONE))
    assert {span.name for span in spans} == {"queue", "attempt", "job chat"}
    assert spans[-1].parent == span_id("job_1", 0)
    assert trace_id(retry) == trace_id(job(JobStatus.FAILED))


def test_steps_without_end_are_counted_not_drawn() -> None:
    steps = [one for number in range(MAX_STEPS + 7) for one in (begin(f"m:{number}"), finish(f"m:{number}"))]
    spans = draw(job(JobStatus.COMPLETED), log(started(), *steps, DONE))
    assert len(spans) == MAX_STEPS + 3
    assert spans[-1].attributes["longhaul.job.steps_left_out"] == 7


def test_a_clock_that_was_set_back_makes_no_span_end_before_it_begins() -> None:
    events = log(started(), begin("m"), finish("m"), DONE)
    early = [event._replace(at=200.0 - event.seq) for event in events]
    assert all(span.begun <= span.ended for span in draw(job(JobStatus.COMPLETED, created_at=300.0), early))
