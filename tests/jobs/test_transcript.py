"""What a log says, however it is cut."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.events import JobCancelling, JobEvent, KnownPayload, UnknownEvent, decode
from jobs.transcript import Transcript
from tests.jobs.engine import logged

Line = tuple[str, dict[str, object]]


def log(*lines: Line) -> list[JobEvent]:
    return [logged(seq, kind, data, at=0) for seq, (kind, data) in enumerate(lines, 1)]


def started(step: str, kind: str = "model", **more: object) -> Line:
    return "step.started", {"step": step, "name": step, "kind": kind, "attempt": 1, **more}


def text(step: str, words: str) -> Line:
    return "text.delta", {"step": step, "text": words}


def finished(step: str) -> Line:
    return "step.finished", {"step": step, "seconds": 0.1}


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
    assert Transcript.of(log(*lines)).answer == answer


PATHS = st.sampled_from(["model:1", "model:2", "model:1/call:0"])
KINDS = st.sampled_from(["model", "tool", "part"])
LINES = st.one_of(
    st.builds(lambda path, kind: started(path, kind, parent="model:1" if "/" in path else None), PATHS, KINDS),
    st.builds(text, PATHS, st.text(min_size=1, max_size=3)),
    st.builds(finished, PATHS),
    st.builds(lambda done: ("progress", {"step": None, "done": done, "total": 9, "message": ""}), st.integers(0, 9)),
    st.builds(lambda name: ("artifact", {"name": name, "mime": "text/csv", "size": 1}), st.sampled_from("ab")),
    st.just(("of.a.later.version", {"what": "nobody knows"})),
)


@given(lines=st.lists(LINES, max_size=30), data=st.data())
def test_any_split_of_a_log_folds_to_the_same(lines: list[Line], data: st.DataObject) -> None:
    events = log(*lines)
    cut = data.draw(st.integers(0, len(events)))
    whole, first = Transcript.of(events), Transcript.of(events[:cut])
    for event in events[cut:]:
        first.feed(event.payload)
    assert vars(first) == vars(whole)


@given(lines=st.lists(LINES, max_size=30))
def test_what_each_event_changed_adds_up_to_the_answer(lines: list[Line]) -> None:
    """A screen that shows only the changes shows the answer."""
    transcript, shown = Transcript(), dict[str, str]()
    for event in log(*lines):
        change = transcript.feed(event.payload)
        if change is not None:
            shown[change.step] = ("" if change.withdrew else shown.get(change.step, "")) + change.text
    assert "".join(shown.get(step, "") for step in transcript.steps) == transcript.answer


def test_an_event_of_a_later_version_is_skipped_and_so_are_its_fields() -> None:
    later = [logged(1, "job.paused", {"by": "ada"}), logged(2, "job.cancelling", {"by": "ada", "why": "later"})]
    assert later[0].payload == UnknownEvent()
    assert later[1].payload == JobCancelling(by="ada")
    assert Transcript.of(later).answer == ""


@pytest.mark.parametrize("payload", KnownPayload.__args__)
def test_every_payload_reads_back_as_it_was_written(payload: type[Any]) -> None:
    values = {field.name: VALUES[field.name] for field in dataclasses.fields(payload)}
    entry = payload(**values).entry()
    assert decode(entry.type, entry.data) == payload(**values)


VALUES = {
    "position": 1, "attempt": 1, "worker": "w", "step": "model:1", "name": "n", "kind": "model", "parent": "p",
    "input": {"a": 1}, "text": "half \ud800 and \x00", "done": 1.5, "total": 2, "message": "m", "level": "info",
    "mime": "text/plain", "size": 3, "seconds": 0.1, "output": 2**70, "error": {"code": "c", "message": "m"},
    "by": "ada", "result": [None], "usage": {"input_tokens": 1, "output_tokens": 2}, "stopped": [], "reason": "length",
    "after": "worker_died", "pause_seconds": 1.5, "kept": 2, "again": ["model:1"], "until": 1.5, "title": "t",
    "items": [{"text": "t", "status": "done"}], "url": "https://example.org", "file_id": "f", "page": 3,
    "stalled_after_seconds": 12.5, "eta_seconds": [1.5, 2.5],
}  # fmt: skip
