"""Tables of events, and what the card then says."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.card import JobCard
from jobs import JobStatus
from services.prices import Price, Prices
from tests.handlers.screens import COMPLETED, Line, artifact, finished, job, log, progress, started, text

CALL = "model:1/call:0"
TOOL = started(CALL, "tool", name="map_table", parent="model:1", input={"rows": 300})
BEGUN: list[Line] = [("job.queued", {"position": 0}), ("job.started", {"attempt": 1, "worker": "w1"})]
DIED: Line = (
    "job.started",
    {
        "attempt": 2,
        "worker": "w2",
        "after": "worker_died",
        "pause_seconds": 1.5,
        "kept": 6,
        "again": [CALL, f"{CALL}/part:7"],
    },
)


def card_of(*lines: Line, **fields: Any) -> JobCard:
    card = JobCard(job(**fields))
    for event in log(*lines):
        card.feed(event, event.payload)
    return card


def part(number: int) -> Line:
    return started(f"{CALL}/part:{number}", "part", parent=CALL)


WAITING: Line = ("step.waiting", {"step": "model:1", "reason": "rate_limited", "until": 99.0})
STOPPED: Line = (
    "job.cancelled",
    {
        "stopped": [
            {"step": f"{CALL}/part:1", "name": "part", "kind": "part", "seconds": 0.02},
            {"step": CALL, "name": "map_table", "kind": "tool", "seconds": 0.03},
        ]
    },
)


@pytest.mark.parametrize(
    ("lines", "state", "doing"),
    [
        ([("job.queued", {"position": 2})], "queued", None),
        ([*BEGUN, started("model:1")], "working", {"what": "thinking", "name": ""}),
        ([*BEGUN, started("model:1"), text("model:1", "a")], "working", {"what": "writing", "name": ""}),
        ([*BEGUN, started("model:1"), TOOL], "working", {"what": "tool", "name": "map_table"}),
        ([*BEGUN, TOOL, finished(CALL)], "working", {"what": "thinking", "name": ""}),
        ([*BEGUN, started("model:1"), WAITING], "waiting", {"what": "thinking", "name": ""}),
        ([*BEGUN, started("model:1"), WAITING, text("model:1", "a")], "working", {"what": "writing", "name": ""}),
        ([*BEGUN, started("model:1"), WAITING, started("model:1")], "working", {"what": "thinking", "name": ""}),
        ([*BEGUN, ("job.cancelling", {"by": "ada"})], "stopping", None),
        ([*BEGUN, TOOL, STOPPED], "cancelled", None),
        ([*BEGUN, TOOL, COMPLETED], "completed", None),
        ([*BEGUN, ("job.failed", {"error": {"code": "c", "message": "m"}})], "failed", None),
        ([*BEGUN, ("job.incomplete", {"reason": "length", "result": None})], "incomplete", None),
    ],
)
def test_the_state_and_what_the_job_does_now(lines: list[Line], state: str, doing: dict[str, str] | None) -> None:
    head = card_of(*lines).head()
    assert (head["state"], head.get("doing")) == (state, doing)


@pytest.mark.parametrize(
    ("lines", "fields", "wanted"),
    [
        ([*BEGUN, started("model:1"), text("model:1", "a"), COMPLETED], {}, False),
        ([*BEGUN, started("model:1"), TOOL], {}, True),
        ([("job.queued", {"position": 1})], {}, True),
        ([*BEGUN, started("model:1"), WAITING], {}, True),
        ([*BEGUN, started("model:1"), DIED], {}, True),
        (BEGUN, {"request": {"task": "map_table"}}, True),
        ([("job.queued", {"position": 1})], {"status": JobStatus.INCOMPLETE}, False),
    ],
    ids=["a plain answer", "a tool", "a queued turn", "a wait", "an interruption", "a tool's own job", "a draft"],
)
def test_which_turns_have_a_card(lines: list[Line], fields: dict[str, Any], *, wanted: bool) -> None:
    assert card_of(*lines, **fields).wanted is wanted


def test_the_timeline_folds_parts_into_their_tool_and_keeps_arguments_log_and_result() -> None:
    card = card_of(
        *BEGUN,
        started("model:1", name="gpt"),
        finished("model:1", output={"usage": {"input_tokens": 10, "output_tokens": 4}}),
        TOOL,
        part(0),
        ("log", {"step": f"{CALL}/part:0", "level": "warning", "message": "slow"}),
        started(f"{CALL}/part:0/complete:aa", "model", parent=f"{CALL}/part:0"),
        finished(f"{CALL}/part:0/complete:aa", output={"usage": {"input_tokens": 1, "output_tokens": 2}}),
        finished(f"{CALL}/part:0"),
        part(1),
        progress(CALL, 1, 300, "1 of 300 rows, 13 tokens"),
    )
    model, tool = card.snapshot()["steps"]
    assert (model["name"], model["state"], model["seconds"]) == ("gpt", "done", 0.1)
    assert (tool["state"], tool["parts"], tool["parts_done"]) == ("running", 2, 1)
    assert tool["log"] == [("warning", "slow")]
    assert '"rows": 300' in tool["arguments"]
    head = card.head()
    assert head["tokens"] == {"input_tokens": 11, "output_tokens": 6}
    assert head["progress"] == {"done": 1, "total": 300, "message": "1 of 300 rows, 13 tokens", "unit": "rows"}


def test_what_is_said_of_the_whole_job_stands_on_the_card() -> None:
    card = card_of(*BEGUN, ("log", {"step": None, "level": "warning", "message": "Earlier messages were left out."}))
    assert card.wanted
    assert card.head()["notes"] == [("warning", "Earlier messages were left out.")]


def test_the_crash_line_counts_what_was_kept_and_what_starts_again() -> None:
    resumed = card_of(*BEGUN, TOOL, DIED).head()["resumed"]
    assert resumed == {"at": 2.5, "after": "worker_died", "pause_seconds": 1.5, "kept": 6, "again": 1}


def test_progress_does_not_fall_back_when_a_tool_reads_its_finished_steps_again() -> None:
    lines = [*BEGUN, TOOL, progress(CALL, 7, 9), DIED, TOOL, progress(CALL, 1, 9), progress(CALL, 8, 9)]
    assert [card_of(*lines[:end]).head()["progress"]["done"] for end in (4, 7, 8)] == [7, 7, 8]


def test_a_part_that_runs_again_after_a_crash_is_counted_once() -> None:
    card = card_of(*BEGUN, TOOL, part(0), finished(f"{CALL}/part:0"), part(1), DIED, TOOL, part(1))
    [tool] = card.snapshot()["steps"]
    assert (tool["parts"], tool["parts_done"]) == (2, 1)


def test_a_tool_that_failed_is_named_although_the_answer_is_there() -> None:
    failed = finished(CALL, error={"code": "tool_failed", "message": "No such file."})
    head = card_of(*BEGUN, TOOL, failed, COMPLETED).head()
    assert (head["state"], head["why"]) == ("completed", "map_table failed")
    again = started("model:2/call:0", "tool", name="map_table")
    assert "why" not in card_of(*BEGUN, TOOL, failed, again, finished("model:2/call:0"), COMPLETED).head()


def test_the_receipt_says_what_was_stopped_where_and_how_fast() -> None:
    card = card_of(*BEGUN, TOOL, progress(CALL, 88, 300, "88 of 300 rows"), STOPPED)
    assert card.head()["receipt"] == {"ms": 30, "what": ["map_table"], "done": 88, "total": 300, "unit": "rows"}
    assert [step["state"] for step in card.snapshot()["steps"]] == ["stopped"]


def test_a_receipt_does_not_count_what_a_finished_tool_did() -> None:
    answer = {"step": "model:2", "name": "gpt", "kind": "model", "seconds": 0.01}
    card = card_of(*BEGUN, TOOL, progress(CALL, 9, 9), finished(CALL), ("job.cancelled", {"stopped": [answer]}))
    assert card.head()["receipt"] == {"ms": 10, "what": ["model"]}


def test_plan_sources_and_files_are_told_as_they_are_found() -> None:
    plan = [{"text": "read", "status": "done"}, {"text": "write", "status": "active"}]
    card = card_of(
        *BEGUN,
        TOOL,
        ("plan", {"step": CALL, "items": plan}),
        ("source", {"step": CALL, "title": "Report", "file_id": "f", "page": 3}),
        artifact("a b.csv"),
        artifact("a b.csv"),
    )
    shown = card.snapshot()
    assert shown["plan"] == plan
    assert shown["sources"] == [{"title": "Report", "file_id": "f", "page": 3}]
    [file] = shown["files"]
    assert file["url"].startswith("/project/artifact/job_1/a%20b.csv?")


def test_the_cost_counts_every_model_call_and_is_not_told_when_one_has_no_price() -> None:
    prices = Prices({"small": Price(input=1, output=10)})

    def cost(*models: str) -> float | None:
        card = JobCard(job(), prices)
        calls = [(f"model:{number}", name) for number, name in enumerate(models)]
        usage = {"usage": {"input_tokens": 100_000, "output_tokens": 50_000}}
        lines = [line for path, name in calls for line in (started(path, name=name), finished(path, output=usage))]
        for event in log(*BEGUN, *lines):
            card.feed(event, event.payload)
        told = card.head().get("cost")
        return None if told is None else float(told)

    assert [cost("small"), cost("small", "small"), cost("small", "other"), cost("other", "small")] == [
        0.6,
        1.2,
        None,
        None,
    ]


def test_a_tools_job_can_be_run_again_as_it_was_asked_for_and_a_chat_turn_cannot() -> None:
    request = {"task": "map_table", "arguments": {"rows": 3}, "files": ("file_1",)}
    again = card_of(*BEGUN, COMPLETED, request=request).head()["request"]
    assert again == {"task": "map_table", "arguments": {"rows": 3}, "files": ["file_1"]}
    assert "request" not in card_of(*BEGUN, COMPLETED).head()
    long = {"task": "map_table", "arguments": {"text": "x" * 20_000}}
    assert "request" not in card_of(*BEGUN, COMPLETED, request=long).head()


def test_an_update_names_the_changed_steps_only() -> None:
    card = JobCard(job())
    updates = []
    for event in log(*BEGUN, started("model:1"), finished("model:1"), TOOL, part(0)):
        card.feed(event, event.payload)
        updates.append([step["id"] for step in card.update()["steps"]])
    assert updates == [[], [], ["model:1"], ["model:1"], [CALL], [CALL]]


def test_long_arguments_and_results_are_cut_and_text_changes_no_card() -> None:
    card = card_of(*BEGUN, started(CALL, "tool", input={"text": "x" * 9_000}), finished(CALL, output="y" * 9_000))
    [tool] = card.snapshot()["steps"]
    assert max(len(tool["arguments"]), len(tool["result"])) < 4_100
    plain = card_of(*BEGUN, started("model:1"), text("model:1", "a"))
    [event] = log(text("model:1", "b"))
    assert not plain.feed(event, event.payload)


def test_the_time_left_and_when_a_tool_is_silent_for_too_long_come_from_earlier_runs() -> None:
    known = started(CALL, "tool", name="map_table", stalled_after_seconds=60.0)
    told = {"eta_seconds": [6.0, 9.0], "stalled_after_seconds": 50.0}
    report: Line = ("progress", {"step": CALL, "done": 3, "total": 9, "message": "", **told})
    head = card_of(*BEGUN, known, report).head()
    assert (head["progress"]["eta"], head["stalled_at"]) == ([6.0, 9.0], head["last_at"] + 50.0)
    assert "at" in head["progress"]
    head = card_of(*BEGUN, TOOL, progress(CALL, 3, 9)).head()
    assert "eta" not in head["progress"]
    assert "stalled_at" not in head
    assert "stalled_at" not in card_of(*BEGUN, known, finished(CALL), started("model:2")).head()


def test_text_does_not_put_off_when_a_silent_tool_is_stalled() -> None:
    known = started(CALL, "tool", stalled_after_seconds=60.0)
    head = card_of(*BEGUN, known, text(f"{CALL}/part:0", "a"), text(f"{CALL}/part:0", "b")).head()
    assert head["stalled_at"] == head["last_at"] - 2 + 60.0


def test_a_job_that_no_worker_has_a_task_for_gets_a_card_that_says_so_until_it_starts() -> None:
    card = card_of(("job.queued", {"position": 0}))
    assert not card.wanted
    assert [card.note_unserved(unserved) for unserved in (False, True, True)] == [False, True, False]
    assert (card.wanted, card.head()["unserved"]) == (True, "chat")
    assert card.note_unserved(False)
    assert "unserved" not in card.head()
    card.note_unserved(True)
    [_, begun] = log(*BEGUN)
    card.feed(begun, begun.payload)
    assert "unserved" not in card.head()
    assert not card.note_unserved(True)


def test_reasoning_is_a_line_of_the_timeline_whose_end_grows_once_a_second() -> None:
    path = "model:1/reasoning"
    opening = [*BEGUN, started("model:1"), started(path, "reasoning", name="reasoning", parent="model:1")]
    card = card_of(*opening)
    assert (card.wanted, card.head()["doing"]) == (True, {"what": "thinking", "name": ""})
    card = card_of(*opening, *(text(path, f"t{number} ") for number in range(5)))  # each event is a second later
    [_, line] = card.snapshot()["steps"]
    assert (line["kind"], line["state"], line["result"]) == ("reasoning", "running", "t0 t1 t2 t3 t4 ")
    assert card.head()["doing"]["what"] == "thinking"
    card = card_of(*opening, text(path, "in vain "), *opening[-2:], text(path, "t0 "))
    assert card.snapshot()["steps"][1]["result"] == "t0 "
    long = "x" * 5_000
    card = card_of(*opening, text(path, long), finished(path, output={"text": long}))
    [_, line] = card.snapshot()["steps"]
    assert (line["state"], len(line["result"])) == ("done", 4_002)
    assert card.head()["doing"]["what"] == "thinking"


def test_reasoning_of_a_call_that_begins_again_runs_no_longer() -> None:
    opening = [*BEGUN, started("model:1")]
    thoughts = [
        started(path, "reasoning", name="reasoning", parent="model:1")
        for path in ("model:1/reasoning", "model:1/reasoning:1")
    ]
    end = finished("model:1/reasoning", output={"text": "t0"})
    card = card_of(*opening, thoughts[0], end, thoughts[1], started("model:1", attempt=2))
    assert [step["state"] for step in card.snapshot()["steps"]] == ["running", "done", "stopped"]


def test_a_burst_of_reasoning_changes_the_card_once() -> None:
    path = "model:1/reasoning"
    card = card_of(*BEGUN, started("model:1"), started(path, "reasoning", name="reasoning", parent="model:1"))
    changed = [card.feed(one._replace(at=100.0), one.payload) for one in log(*(text(path, "t ") for _ in range(9)))]
    assert changed == [True, *[False] * 8]
