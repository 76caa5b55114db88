"""A job's log as the AI SDK's UI message chunks: events in, chunks out, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ui_chunks import UiChunks
from jobs.transcript import Transcript
from tests.api.test_response_events import begun, finished, log, said, started

JOB = "job_5f0c3a9be1d24c77a0b1c2d3"
Entry = tuple[str, dict[str, Any]]
COMPLETED: Entry = ("job.completed", {"result": {"text": ""}, "usage": None})


def chunks(*entries: Entry) -> list[dict[str, Any]]:
    """The chunks behind the first, which is always the same."""
    rendering = UiChunks(JOB)
    first, *rest = [chunk for event in log(*entries) for chunk in rendering.feed(event)]
    assert first == {"type": "start", "messageId": JOB, "messageMetadata": {"jobId": JOB}}
    return rest


def kinds(*entries: Entry) -> list[str]:
    return [chunk["type"] for chunk in chunks(*entries)]


def shown(told: list[dict[str, Any]]) -> str:
    """The text of the message, read as the SDK reads it, without the parts that are named as withdrawn."""
    parts: list[tuple[str, str]] = []  # of text, and of what is withdrawn
    step = 0
    for chunk in told:
        match chunk["type"]:
            case "start-step":
                step = len(parts)
            case "reset-step":
                del parts[step:]
            case "text-delta":
                parts.append((chunk["id"], chunk["delta"]))
            case "data-withdrawn":
                parts.append(("", chunk["data"]["id"]))
    withdrawn = {"", *(text for part, text in parts if part == "")}
    return "".join(text for part, text in parts if part not in withdrawn)


def test_an_answer_is_one_step_with_one_text_part() -> None:
    told = chunks(
        started(), begun("model:1"), said("model:1", "Hel"), said("model:1", "lo"), finished("model:1"), COMPLETED
    )
    assert [chunk["type"] for chunk in told] == [
        *("start-step", "text-start", "text-delta", "text-delta", "text-end", "finish-step", "finish")
    ]
    assert len({chunk["id"] for chunk in told if chunk["type"].startswith("text-")}) == 1
    assert told[-1]["finishReason"] == "stop"


def test_a_call_of_a_tool_is_in_the_step_of_its_model_call_and_calls_inside_it_are_not_shown() -> None:
    call = begun("model:1/call:0", kind="tool", parent="model:1", input={"years": 2})
    inner = begun("model:1/call:0/part:0", kind="part", parent="model:1/call:0")
    told = chunks(
        *(begun("model:1"), finished("model:1"), call, inner, call),
        *(finished("model:1/call:0", output={"content": "yes"}), begun("model:2"), said("model:2", "Yes.")),
        *(finished("model:2"), COMPLETED),
    )
    assert [chunk["type"] for chunk in told] == [
        *("start-step", "tool-input-available", "tool-output-available", "finish-step"),
        *("start-step", "text-start", "text-delta", "text-end", "finish-step", "finish"),
    ]
    assert (told[1]["input"], told[2]["output"]) == ({"years": 2}, {"content": "yes"})
    assert told[1]["toolCallId"] == told[2]["toolCallId"]


def test_text_that_a_resumed_step_withdraws_resets_its_step() -> None:
    told = chunks(begun("model:1"), said("model:1", "one"), begun("model:1", 2), said("model:1", "two"), COMPLETED)
    assert [chunk["type"] for chunk in told[:5]] == [
        "start-step",
        "text-start",
        "text-delta",
        "reset-step",
        "text-start",
    ]
    assert shown(told) == "two"


def test_withdrawn_text_beside_other_parts_is_named_because_a_reset_would_take_them_too() -> None:
    other: Entry = ("artifact", {"name": "a b.csv", "mime": "text/csv", "size": 1})
    told = chunks(
        begun("model:1"), said("model:1", "one"), other, begun("model:1", 2), said("model:1", "two"), COMPLETED
    )
    assert "reset-step" not in [chunk["type"] for chunk in told]
    [first, second] = [chunk["id"] for chunk in told if chunk["type"] == "text-start"]
    [withdrawn] = [chunk["data"]["id"] for chunk in told if chunk["type"] == "data-withdrawn"]
    assert (withdrawn, withdrawn != second, shown(told)) == (first, True, "two")
    [file] = [chunk for chunk in told if chunk["type"] == "file"]
    assert file["url"] == f"/api/jobs/{JOB}/artifacts/a%20b.csv"


def test_a_withdrawal_beside_another_step_is_not_undone_by_the_reset_of_that_step() -> None:
    first, second = (begun("model:1"), said("model:1", "a")), (begun("model:2"), said("model:2", "b"))
    again = (begun("model:1", 2), finished("model:1"), begun("model:2", 2), said("model:2", "c"))
    assert shown(chunks(*first, *second, *again, COMPLETED)) == "c"


@pytest.mark.parametrize(
    ("end", "reason", "before"),
    [
        (COMPLETED, "stop", []),
        (("job.incomplete", {"reason": "length", "result": None}), "length", []),
        (("job.incomplete", {"reason": "content_filter", "result": None}), "content-filter", []),
        (("job.incomplete", {"reason": "whatever", "result": None}), "other", []),
        (("job.failed", {"error": {"code": "x", "message": "No."}}), "error", ["error"]),
        (("job.cancelled", {"stopped": []}), "other", ["abort"]),
    ],
)
def test_every_end_closes_what_is_open_and_finishes(end: Entry, reason: str, before: list[str]) -> None:
    told = chunks(begun("model:1"), said("model:1", "one"), end)
    assert [chunk["type"] for chunk in told[3:]] == ["text-end", "finish-step", *before, "finish"]
    assert told[-1]["finishReason"] == reason


def test_reports_replace_each_other_and_sources_are_told() -> None:
    call = begun("call:0", kind="tool", input={})
    report: Entry = ("progress", {"step": "call:0", "done": 1, "total": 2, "message": "m"})
    page: Entry = ("source", {"step": "call:0", "title": "a.pdf", "file_id": "file_1", "page": 2})
    site: Entry = ("source", {"step": "call:0", "title": "A", "url": "https://a.example"})
    told = chunks(
        call, report, report, page, site, finished("call:0", error={"code": "x", "message": "No."}), COMPLETED
    )
    assert [chunk["type"] for chunk in told] == [
        *("tool-input-available", "data-progress", "data-progress", "source-document", "source-url"),
        *("tool-output-error", "finish"),
    ]
    assert told[1]["id"] == told[2]["id"]
    assert told[5]["errorText"] == "No."


STEPS = ("model:1", "model:2", "model:3")
ENTRIES = st.one_of(
    st.builds(begun, st.sampled_from(STEPS)),
    st.builds(said, st.sampled_from(STEPS), st.sampled_from(["a", "b", "c"])),
    st.builds(finished, st.sampled_from(STEPS)),
    st.just(begun("model:1/call:0", kind="tool", parent="model:1", input={})),
    st.just(finished("model:1/call:0", output=1)),
    st.just(("progress", {"step": "model:1/call:0", "done": 1, "total": None, "message": ""})),
)


@given(st.lists(ENTRIES, max_size=25))
def test_whatever_happens_the_text_is_the_answer_and_every_part_begins_before_it_goes_on(entries: list[Entry]) -> None:
    events, rendering = log(*entries), UiChunks(JOB)
    told = [chunk for event in events for chunk in rendering.feed(event)]
    assert sorted(shown(told)) == sorted(Transcript.of(events).answer)
    is_open: set[str] = set()
    seen: set[str] = set()
    for chunk in told:
        match chunk["type"]:
            case "text-start":
                assert chunk["id"] not in seen
                is_open.add(chunk["id"])
                seen.add(chunk["id"])
            case "text-delta":
                assert chunk["id"] in is_open
            case "text-end":
                is_open.remove(chunk["id"])
            case "reset-step":
                is_open.clear()
