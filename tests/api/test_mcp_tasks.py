"""A job as a task and as the messages of a call: records in, JSON out, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from api.mcp.messages import LEGACY, MODERN, Call
from api.mcp.progress import CallMessages
from api.mcp.tasks import task
from jobs import Job, JobRequest, JobStatus
from jobs.transcript import Transcript
from tests.api.test_response_events import begun, log, started

BEGIN = 1_700_000_000.0
URL = "http://localhost:8000"


def job(status: JobStatus = JobStatus.IN_PROGRESS, *, name: str = "work", **fields: Any) -> Job:
    known: dict[str, Any] = {
        "id": "job_1",
        "epoch": 1,
        "worker": "w",
        "turn": 1,
        "retry_of": None,
        "root_id": "job_1",
        "cancelled_by": None,
        "last_seq": 3,
        "created_at": BEGIN,
        "started_at": BEGIN,
        "finished_at": None,
    }
    return Job(request=JobRequest(task=name, user="ada"), status=status, **(known | fields))


def told(one: Job, *entries: tuple[str, dict[str, Any]], age: float = 0) -> dict[str, Any]:
    return task(one, Transcript.of(log(*entries)), now=BEGIN + age, ttl_ms=None, base_url=URL)


def call(*, token: str | None = "p", version: str = MODERN) -> Call:
    return Call(id=1, method="tools/call", params={}, version=version, extensions=frozenset(), progress_token=token)


def messages(one: Job, asked: Call, *entries: tuple[str, dict[str, Any]]) -> list[Any]:
    rendering = CallMessages(asked, one, base_url=URL)
    return [message for event in log(*entries) if (message := rendering.feed(event)) is not None]


def report(done: float, step: str = "call:0") -> tuple[str, dict[str, Any]]:
    return "progress", {"step": step, "done": done, "total": 10, "message": "m"}


def test_a_running_job_is_a_working_task_that_says_what_it_does_and_is_asked_for_less_often_with_time() -> None:
    young = told(job(), report(3))
    assert young == {
        "taskId": "job_1",
        "status": "working",
        "statusMessage": "3 of 10: m",
        "ttlMs": None,
        "createdAt": "2023-11-14T22:13:20.000Z",
        "lastUpdatedAt": "2023-11-14T22:13:20.000Z",
        "pollIntervalMs": 250,
    }
    assert [told(job(), age=age)["pollIntervalMs"] for age in (10, 100)] == [1000, 5000]
    assert told(job(JobStatus.QUEUED))["statusMessage"] == "It waits for its turn."
    assert told(job(cancelled_by="ada"))["statusMessage"] == "It is being stopped."


@pytest.mark.parametrize(
    ("status", "end", "texts", "is_error"),
    [
        (JobStatus.COMPLETED, ("job.completed", {"result": "yes", "usage": None}), ["yes"], False),
        (JobStatus.COMPLETED, ("job.completed", {"result": {"text": "yes"}, "usage": None}), ["yes"], False),
        (JobStatus.COMPLETED, ("job.completed", {"result": {"a": 1}, "usage": None}), ['{"a": 1}'], False),
        (JobStatus.COMPLETED, ("job.completed", {"result": None, "usage": None}), [], False),
        (JobStatus.FAILED, ("job.failed", {"error": {"code": "x", "message": "No."}}), ["No."], True),
        (
            JobStatus.INCOMPLETE,
            ("job.incomplete", {"reason": "length", "result": "half"}),
            ["half", "The answer reached the model's length limit."],
            True,
        ),
    ],
)
def test_a_job_that_has_ended_is_a_completed_task_whatever_became_of_it(
    status: JobStatus, end: tuple[str, dict[str, Any]], texts: list[str], is_error: bool
) -> None:
    ended = told(job(status), ("artifact", {"name": "a b", "mime": "text/csv", "size": 1}), end)
    assert ended["status"] == "completed"
    *words, link = ended["result"]["content"]
    assert ([one["text"] for one in words], ended["result"]["isError"]) == (texts, is_error)
    assert link["uri"] == f"{URL}/api/jobs/job_1/artifacts/a%20b"


def test_a_stopped_job_is_a_cancelled_task_without_a_result() -> None:
    stopped = told(job(JobStatus.CANCELLED), ("job.cancelled", {"stopped": []}))
    assert (stopped["status"], "result" in stopped) == ("cancelled", False)


def test_progress_only_grows_though_a_tool_begins_again_and_parts_report_of_their_own() -> None:
    reports = [report(1), report(5), report(9, "call:0/part:0"), started(2), report(1), report(5), report(6)]
    seen = messages(job(), call(), *reports)
    assert [one["params"]["progress"] for one in seen] == [1, 5, 6]
    assert seen[0]["params"] == {"progressToken": "p", "progress": 1, "total": 10, "message": "m"}
    assert messages(job(), call(token=None), *reports) == []


def test_the_chats_steps_are_counted() -> None:
    seen = messages(
        job(name="chat"), call(), begun("model:1"), begun("model:1/call:0", parent="model:1"), begun("model:2")
    )
    assert [one["params"]["progress"] for one in seen] == [0, 1]


def test_only_the_newer_version_names_the_type_of_a_result() -> None:
    end = ("job.completed", {"result": "yes", "usage": None})
    for version, kind in ((MODERN, "complete"), (LEGACY[0], None)):
        [response] = messages(job(), call(version=version), end)
        assert (response["id"], response["result"].get("resultType")) == (1, kind)
