"""The answer that a log holds."""

from __future__ import annotations

import pytest

from jobs.answer import answer_text
from jobs.events import JobEvent

Line = tuple[str, dict[str, object]]


def log(*lines: Line) -> list[JobEvent]:
    return [JobEvent(job_id="j", seq=seq, type=kind, at=0, data=data) for seq, (kind, data) in enumerate(lines, 1)]


def started(step: str, kind: str = "model", **more: object) -> Line:
    return "step.started", {"step": step, "kind": kind, **more}


def text(step: str, words: str) -> Line:
    return "text.delta", {"step": step, "text": words}


def finished(step: str) -> Line:
    return "step.finished", {"step": step}


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ([started("m"), text("m", "a"), text("m", "b"), finished("m")], "ab"),
        ([started("m"), text("m", "old"), started("m")], "old"),
        ([started("m"), text("m", "old"), started("m"), text("m", "new")], "new"),
        ([started("m"), text("m", "old"), started("m"), finished("m")], ""),
        ([started("m:1"), text("m:1", "a"), started("m:2"), text("m:2", "b"), started("m:1")], "ab"),
        ([started("t", "tool"), text("t", "x"), started("p", "part"), text("p", "y")], ""),
        ([started("m:1/c", parent="m:1"), text("m:1/c", "of a tool")], ""),
    ],
    ids=["plain", "until the new text the old one stays", "replaced", "nothing new", "order", "tools", "nested"],
)
def test_the_answer_is_the_text_of_the_top_model_steps(lines: list[Line], answer: str) -> None:
    assert answer_text(log(*lines)) == answer
