"""Factories: jobs, their events, and a page that does what it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from handlers.changes import AddText, Change, Remove, Show, Upsert
from handlers.forms import ToolForm
from handlers.render import TurnScreen
from jobs import Job, JobEvent, JobRequest, JobStatus
from tests.jobs.engine import logged

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
    return [logged(seq, kind, data, at=float(seq)) for seq, (kind, data) in enumerate(lines, 1)]


def started(step: str, kind: str = "model", **more: Any) -> Line:
    return "step.started", {"step": step, "name": more.pop("name", step), "kind": kind, "attempt": 1, **more}


def text(step: str, words: str) -> Line:
    return "text.delta", {"step": step, "text": words}


def finished(step: str, **more: Any) -> Line:
    return "step.finished", {"step": step, "seconds": 0.1, **more}


def progress(step: str, done: int, total: int | None, message: str = "") -> Line:
    return "progress", {"step": step, "done": done, "total": total, "message": message}


def artifact(name: str, mime: str = "text/csv") -> Line:
    return "artifact", {"name": name, "mime": mime, "size": 1}


def form_of(schema: dict[str, Any], *, name: str = "save", description: str = "Save money.\n\nFor long.") -> ToolForm:
    return ToolForm.of({"name": name, "description": description, "parameters": {"type": "object", **schema}})


SAVING = form_of(
    {"properties": {"title": {"type": "string"}, "years": {"type": "integer", "minimum": 1}}, "required": ["title"]}
)
"""The form of a tool."""


COMPLETED: Line = ("job.completed", {"result": {"text": ""}, "usage": None})


class Page:
    """Chainlit's page, as far as it matters: new_message and update_message merge, tokens append."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self.elements: dict[str, dict[str, Any]] = {}

    def show(self, changes: Iterable[Change]) -> None:
        for change in changes:
            match change:
                case Upsert(step) if "type" in step or step["id"] in self.steps:
                    self.steps[step["id"]] = {**self.steps.get(step["id"], {}), **step}
                case AddText(step_id, words):
                    self.steps[step_id]["output"] += words
                case Remove(step_id):
                    self.steps.pop(step_id, None)
                case Show(element):
                    self.elements[element["id"]] = element

    @classmethod
    def opened_on(cls, turn: TurnScreen) -> Page:
        page = cls()
        page.show(Upsert(step) for step in turn.steps())
        page.show(Show(element) for element in turn.elements())
        return page

    def hear(self, card: dict[str, Any]) -> None:
        """What `public/live.js` does with a `longhaul` event."""
        if (element := self.elements.get("job_1:card")) is not None:
            steps = {step["id"]: step for step in [*element["props"]["steps"], *card["steps"]]}
            props = {"sources": element["props"]["sources"], **card, "steps": [*steps.values()]}
            self.elements["job_1:card"] = {**element, "props": props}

    @property
    def card(self) -> dict[str, Any]:
        """What the card shows."""
        props: dict[str, Any] = self.elements["job_1:card"]["props"]
        return props

    def below(self, message_id: str) -> list[tuple[str, str]]:
        """Kind and name of the elements below a message."""
        return [(one["type"], one["name"]) for one in self.elements.values() if one["forId"] == message_id]

    @property
    def form(self) -> dict[str, Any]:
        """What the form shows."""
        props: dict[str, Any] = self.elements["job_1:form"]["props"]
        return props

    def answer(self) -> str:
        return "".join(step["output"] for step in self.steps.values() if step["type"] == "assistant_message")
