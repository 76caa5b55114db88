"""Factories: jobs, their events, and a page that does what it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from handlers.render import Append, Change, Remove, TurnScreen, Upsert
from jobs import Job, JobEvent, JobRequest, JobStatus

Line = tuple[str, dict[str, Any]]


def job(**fields: Any) -> Job:
    request = {"task": "chat", "user": "local", "input": "question", "thread_id": "t", "key": "message-id"}
    values: dict[str, Any] = {
        "id": "job_1",
        "request": JobRequest(**{**request, **fields.pop("request", {})}),
        "status": JobStatus.IN_PROGRESS,
        "epoch": 1,
        "worker": "w1",
        "turn": 1,
        "retry_of": None,
        "root_id": "job_1",
        "cancelled_by": None,
        "last_seq": 0,
        "created_at": 0.0,
        "started_at": None,
        "finished_at": None,
    }
    return Job(**{**values, **fields})


def log(*lines: Line) -> list[JobEvent]:
    return [
        JobEvent(job_id="job_1", seq=seq, type=kind, at=float(seq), data=data)
        for seq, (kind, data) in enumerate(lines, 1)
    ]


def started(step: str, kind: str = "model", **more: Any) -> Line:
    return "step.started", {"step": step, "name": more.pop("name", step), "kind": kind, "attempt": 1, **more}


def text(step: str, words: str) -> Line:
    return "text.delta", {"step": step, "text": words}


def finished(step: str, **more: Any) -> Line:
    return "step.finished", {"step": step, "seconds": 0.1, **more}


def progress(step: str, done: int, total: int | None, message: str = "") -> Line:
    return "progress", {"step": step, "done": done, "total": total, "message": message}


COMPLETED: Line = ("job.completed", {"result": {"text": ""}, "usage": None})


class Page:
    """Chainlit's page, as far as it matters: new_message and update_message merge, tokens append."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Any]] = {}

    def show(self, changes: Iterable[Change]) -> None:
        for change in changes:
            match change:
                case Upsert(step) if "type" in step or step["id"] in self.steps:
                    self.steps[step["id"]] = {**self.steps.get(step["id"], {}), **step}
                case Append(step_id, words):
                    self.steps[step_id]["output"] += words
                case Remove(step_id):
                    self.steps.pop(step_id, None)

    @classmethod
    def opened_on(cls, turn: TurnScreen) -> Page:
        page = cls()
        page.show(Upsert(step) for step in turn.steps())
        return page

    def answer(self) -> str:
        return "".join(step["output"] for step in self.steps.values() if step["type"] == "assistant_message")
