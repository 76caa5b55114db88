"""A job's log as the events of an OpenAI response: events in, events out, without a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from api.openai.response_events import UNASKED, Heading, ResponseEvents, frame, frames, job_id_of, response_id_of
from jobs import JobEvent, JobNotFound
from jobs.transcript import Transcript
from tests.jobs.engine import logged

STRICT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
HEX = "5f0c3a9be1d24c77a0b1c2d3"
USAGE = {"input_tokens": 3, "output_tokens": 2}
STEP_USAGE = {"text": "", "usage": USAGE}
DELTA = "response.output_text.delta"


def heading(*, background: bool = True) -> Heading:
    return Heading(
        id=f"resp_{HEX}",
        created_at=1700000000,
        model="m",
        background=background,
        instructions=None,
        metadata={},
        previous_response_id=None,
        asked={**UNASKED, "text": {"format": {"type": "text"}}},
    )


def log(*entries: tuple[str, dict[str, Any]]) -> list[JobEvent]:
    return [
        logged(seq, kind, data, at=1700000000.0 + seq)
        for seq, (kind, data) in enumerate([("job.queued", {"position": 0}), *entries], 1)
    ]


def started(attempt: int = 1) -> tuple[str, dict[str, Any]]:
    return "job.started", {"attempt": attempt, "worker": "w"}


def begun(step: str, attempt: int = 1, kind: str = "model", **fields: Any) -> tuple[str, dict[str, Any]]:
    return "step.started", {"step": step, "name": "m", "kind": kind, "attempt": attempt, **fields}


def said(step: str, text: str) -> tuple[str, dict[str, Any]]:
    return "text.delta", {"step": step, "text": text}


def finished(step: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "step.finished", {"step": step, "seconds": 0.1, **fields}


ENDS: dict[str, dict[str, Any]] = {
    "job.completed": {"result": {"text": ""}, "usage": USAGE},
    "job.failed": {"error": {"code": "model_rate_limited", "message": "Too many requests."}},
    "job.cancelled": {"stopped": []},
    "job.incomplete": {"reason": "length", "result": {"text": ""}},
}


def told(events: Sequence[JobEvent], *, background: bool = True) -> list[dict[str, Any]]:
    machine = ResponseEvents(heading(background=background))
    return [payload for event in events for payload in machine.feed(event)]


def response(events: Sequence[JobEvent]) -> dict[str, Any]:
    machine = ResponseEvents(heading())
    for event in events:
        machine.feed(event)
    return machine.response()


def output_text(response: dict[str, Any]) -> str:
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


def kinds(payloads: Sequence[dict[str, Any]]) -> list[str]:
    return [payload["type"].removeprefix("response.") for payload in payloads]


OPENED = ["output_item.added", "content_part.added", "output_text.delta"]
CLOSED = ["output_text.done", "content_part.done", "output_item.done"]


@pytest.mark.parametrize(("background", "waits"), [(True, ["queued"]), (False, [])], ids=["background", "foreground"])
def test_the_events_come_in_openais_order(background: bool, waits: list[str]) -> None:
    events = log(
        started(), begun("model:1"), said("model:1", "a"), said("model:1", "b"), finished("model:1", output=STEP_USAGE),
        ("job.completed", ENDS["job.completed"]),
    )  # fmt: skip
    payloads = told(events, background=background)
    middle = [*OPENED, "output_text.delta", *CLOSED]
    assert kinds(payloads) == ["created", *waits, "in_progress", *middle, "completed"]
    assert [payload["sequence_number"] for payload in payloads] == list(range(len(payloads)))
    assert payloads[0]["response"]["status"] == ("queued" if background else "in_progress")
    assert payloads[-1]["response"]["usage"]["total_tokens"] == 5


@pytest.mark.parametrize(
    ("end", "last", "status", "error", "details"),
    [
        ("job.completed", "response.completed", "completed", None, None),
        (
            "job.failed",
            "response.failed",
            "failed",
            {"code": "rate_limit_exceeded", "message": "Too many requests."},
            None,
        ),
        ("job.cancelled", "response.incomplete", "cancelled", None, None),
        ("job.incomplete", "response.incomplete", "incomplete", None, {"reason": "max_output_tokens"}),
    ],
)
def test_each_end_has_its_event_and_status(
    end: str, last: str, status: str, error: dict[str, str] | None, details: dict[str, str] | None
) -> None:
    final = told(log(started(), begun("model:1"), said("model:1", "a"), (end, ENDS[end])))[-1]
    assert (final["type"], final["response"]["status"]) == (last, status)
    assert (final["response"]["error"], final["response"]["incomplete_details"]) == (error, details)
    assert final["response"]["output"][0]["status"] == ("completed" if status == "completed" else "incomplete")


def test_an_answer_that_is_cut_off_tells_what_its_steps_spent() -> None:
    events = log(started(), begun("model:1"), finished("model:1", output=STEP_USAGE))
    end = log(started(), begun("model:1"), finished("model:1"), ("job.incomplete", ENDS["job.incomplete"]))[-1:]
    assert response(events)["usage"] is None
    assert response([*events, *end])["usage"]["total_tokens"] == 5


def test_withdrawn_text_closes_its_item_and_opens_a_new_one() -> None:
    events = log(
        started(), begun("model:1"), said("model:1", "old "), started(2), begun("model:1", 2),
        said("model:1", "new"), finished("model:1"), ("job.completed", ENDS["job.completed"]),
    )  # fmt: skip
    payloads = told(events)
    assert kinds(payloads)[3:] == [*OPENED, *CLOSED, *OPENED, *CLOSED, "completed"]
    items = [payload["item"] for payload in payloads if payload["type"] == "response.output_item.done"]
    assert [(item["status"], item["content"][0]["text"]) for item in items] == [
        ("incomplete", "old "),
        ("completed", "new"),
    ]
    assert items[0]["id"] != items[1]["id"]
    assert [payload["output_index"] for payload in payloads if payload["type"] == DELTA] == [0, 1]
    assert payloads[-1]["response"]["output"] == [items[1]]


@pytest.mark.parametrize(
    ("how", "status"),
    [({"output": STEP_USAGE}, "completed"), ({"error": {"code": "x", "message": "X."}}, "incomplete")],
    ids=["whole", "failed"],
)
def test_an_item_is_closed_with_its_step(how: dict[str, Any], status: str) -> None:
    payloads = told(log(started(), begun("model:1"), said("model:1", "a"), finished("model:1", **how)))
    assert kinds(payloads)[3:] == [*OPENED, *CLOSED]
    assert payloads[-1]["item"]["status"] == status


def test_a_retry_is_in_progress_before_the_words_that_it_takes_over() -> None:
    events = log(begun("model:1"), said("model:1", "a"), finished("model:1", output=STEP_USAGE), started())
    assert kinds(told(events)) == ["created", "queued", "in_progress", *OPENED, *CLOSED]


def test_a_withdrawn_text_stands_until_the_new_one_begins() -> None:
    events = log(started(), begun("model:1"), said("model:1", "old"), started(2), begun("model:1", 2))
    assert output_text(response(events)) == "old"


def test_the_words_of_tools_and_parts_are_no_part_of_the_answer() -> None:
    events = log(
        started(), begun("model:1/call:0", kind="tool", parent="model:1"), said("model:1/call:0", "x"),
        begun("model:1/call:0/complete:0", parent="model:1/call:0"), said("model:1/call:0/complete:0", "y"),
    )  # fmt: skip
    assert kinds(told(events)) == ["created", "queued", "in_progress"]


def test_a_frame_is_named_and_one_line() -> None:
    assert frame({"type": "x", "text": "a\nb"}) == b'event: x\ndata: {"type":"x","text":"a\\nb"}\n\n'


@pytest.mark.parametrize("bad", ["", "resp_", f"resp_{HEX}0", f"resp_{HEX.upper()}", f"job_{HEX}", f"resp_{HEX}\n"])
def test_ids_map_onto_each_other_and_nothing_else(bad: str) -> None:
    assert job_id_of(f"resp_{HEX}") == f"job_{HEX}"
    assert response_id_of(f"job_{HEX}") == f"resp_{HEX}"
    assert job_id_of(bad) is None


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=4), max_size=4)
Entries = list[tuple[str, dict[str, Any]]]


FINISHES: list[dict[str, Any]] = [{"output": STEP_USAGE}, {"error": {"code": "x", "message": "X."}}]


@st.composite
def reasoning(draw: st.DrawFn, step: str, attempt: int, *, ends: bool) -> Entries:
    """None, or some that ended, or was interrupted if the attempt has no text."""
    texts = draw(TEXTS)
    if not texts:
        return []
    path = f"{step}/reasoning"
    entries = [
        begun(path, attempt, name="reasoning", kind="reasoning", parent=step),
        *(said(path, text) for text in texts),
    ]
    return entries + [finished(path, output={"text": "".join(texts)})] * (ends or draw(st.booleans()))


@st.composite
def model_steps(draw: st.DrawFn, number: int, first_attempt: int) -> tuple[Entries, int]:
    """One step of the model with the attempts that it took, and a tool's call behind it."""
    step, attempt, entries = f"model:{number}", first_attempt, Entries()
    for texts in draw(st.lists(TEXTS, min_size=1, max_size=3)):
        if entries:
            attempt += 1
            entries.append(started(attempt))
        entries += [
            begun(step, attempt),
            *draw(reasoning(step, attempt, ends=bool(texts))),
            *(said(step, text) for text in texts),
        ]
    how: dict[str, Any] = draw(st.sampled_from(FINISHES))
    entries.append(finished(step, **how))
    if draw(st.booleans()):
        call = f"{step}/call:0"
        entries += [begun(call, kind="tool", parent=step), said(call, "tool"), finished(call, output={})]
    return entries, attempt


@st.composite
def logs(draw: st.DrawFn) -> list[JobEvent]:
    """A job's whole log, or of a running one the beginning; of a retry, with the steps it took over first."""
    steps, attempt = Entries(), 1
    for number in range(1, draw(st.integers(0, 3)) + 1):
        entries, attempt = draw(model_steps(number, attempt))
        steps += entries
    copied = [] if attempt > 1 else steps[: draw(st.sampled_from([0, len(steps)]))]
    entries = [*copied, started(), *steps[len(copied) :]]
    kept = entries[: draw(st.integers(0, len(entries)))]
    end = draw(st.sampled_from([None, *ENDS]))
    return log(*kept, *([(end, ENDS[end])] if end else []))


@given(logs())
def test_the_output_is_the_jobs_answer(events: list[JobEvent]) -> None:
    assert output_text(response(events)) == Transcript.of(events).answer


@given(logs())
def test_every_event_is_one_that_openais_client_knows(events: list[JobEvent]) -> None:
    for payload in told(events):
        STRICT.validate_python(payload)


@given(logs())
def test_every_item_is_opened_filled_and_closed_once(events: list[JobEvent]) -> None:
    texts: dict[int, str] = {}
    done: dict[int, dict[str, Any]] = {}
    payloads = told(events)
    for payload in payloads:
        index = payload.get("output_index", -1)
        match payload["type"].removeprefix("response."):
            case "output_item.added":
                assert index == len(texts)
                texts[index] = ""
            case "output_text.delta" | "reasoning_text.delta":
                assert index not in done
                texts[index] += payload["delta"]
            case "output_text.done" | "reasoning_text.done":
                assert payload["text"] == texts[index]
            case "output_item.done":
                assert index not in done
                done[index] = payload["item"]
    if events[-1].terminal:
        output = payloads[-1]["response"]["output"]
        assert [done[index] for index in sorted(done) if done[index] in output] == output
        assert done.keys() == texts.keys()


async def paged(events: Sequence[JobEvent], cuts: Sequence[int]) -> AsyncGenerator[list[JobEvent], None]:
    borders = [0, *sorted({cut % len(events) for cut in cuts} - {0}), len(events)]
    for begin, end in pairwise(borders):
        yield list(events[begin:end])


@given(logs(), st.lists(st.integers(0, 100), max_size=6), st.integers(-1, 60))
async def test_any_paging_from_any_place_gives_the_rest_of_the_same_stream(
    events: list[JobEvent], cuts: list[int], after: int
) -> None:
    whole = [frame(payload) for payload in told(events)]
    rest = b"".join([piece async for piece in frames(paged(events, cuts), heading(), after=after)])
    assert rest == b"".join(whole[after + 1 :])


async def test_who_follows_something_that_is_deleted_gets_an_error_and_the_end() -> None:
    async def deleted() -> AsyncGenerator[list[JobEvent], None]:
        yield log(started())
        raise JobNotFound("job_x")

    pieces = [piece async for piece in frames(deleted(), heading(), after=2)]
    assert pieces == [
        b'event: error\ndata: {"type":"error","code":"not_found","message":"The response was deleted.",'
        b'"param":null,"sequence_number":3}\n\n'
    ]
