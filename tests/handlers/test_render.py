"""Tables of events, and what a page then shows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.changes import AddText, Remove, Upsert
from handlers.forms import ToolForm
from handlers.render import MESSAGE_CHARACTERS, TurnScreen
from tests.handlers.screens import COMPLETED, SAVING, Line, Page, artifact, finished, job, log, progress, started, text

CANCELLED: Line = (
    "job.cancelled",
    {"stopped": [{"step": "model:1", "name": "model", "kind": "model", "seconds": 0.12}]},
)
FAILED: Line = ("job.failed", {"error": {"code": "model_unreachable", "message": "The model does not answer."}})


def turn_of(*lines: Line, **fields: Any) -> TurnScreen:
    turn = TurnScreen(job(**fields))
    turn.feed(log(*lines))
    return turn


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ([started("model:1"), text("model:1", "a"), text("model:1", "b"), finished("model:1"), COMPLETED], "ab"),
        ([started("model:1"), text("model:1", "read"), started("model:1")], "read"),
        ([started("model:1"), text("model:1", "old"), started("model:1"), text("model:1", "new")], "new"),
        ([started("model:1"), text("model:1", "old"), started("model:1"), finished("model:1")], ""),
        ([started("model:1"), text("model:1/call:0/complete:0", "a tool's own")], ""),
        ([started("model:1"), text("model:1", "part"), CANCELLED], "partStopped: the model's answer (within 0.1 s)."),
        ([started("model:1"), text("model:1", "part"), FAILED], "partThe model does not answer."),
        ([("job.cancelled", {"stopped": []})], "Stopped before it began."),
        ([("job.incomplete", {"reason": "length", "result": None})], "The answer reached the model's length limit."),
        ([("job.completed", {"result": {"summary": "**short**"}, "usage": None})], "**short**"),
        ([("job.completed", {"result": {"n": 1}, "usage": None})], '```json\n{\n  "n": 1\n}\n```'),
    ],
    ids=[
        "text",
        "what was read stays until new text comes",
        "withdrawn text is replaced",
        "withdrawn and nothing new",
        "a tool's text is no answer",
        "stopped",
        "failed",
        "stopped early",
        "incomplete",
        "a tool's summary",
        "a tool's result",
    ],
)
def test_what_a_page_says(lines: list[Line], answer: str) -> None:
    assert Page.opened_on(turn_of(*lines)).answer() == answer


def test_a_turn_is_a_tree_of_message_run_card_and_answer() -> None:
    turn = turn_of(
        started("model:1"),
        started("model:1/call:0", "tool", name="summarize_documents", parent="model:1", input={"focus": "x"}),
        finished("model:1/call:0", output={"content": "done"}),
        finished("model:1"),
        started("model:2"),
        text("model:2", "hi"),
    )
    assert [(step["type"], step["id"], step["parentId"]) for step in turn.steps()] == [
        ("user_message", "message-id", None),
        ("run", "job_1:run", "message-id"),
        ("assistant_message", "job_1:card:message", "job_1:run"),
        ("assistant_message", "job_1:model:2", "job_1:run"),
    ]


def test_the_end_closes_what_still_runs_on_the_screen() -> None:
    turn = turn_of(started("model:1"), text("model:1", "a"), started("model:1/call:0", "tool"), CANCELLED)
    steps = {step["id"]: step for step in turn.steps()}
    assert not any(step["streaming"] for step in steps.values())
    assert steps["job_1:run"]["end"] is not None


def test_a_retry_writes_into_its_originals_place() -> None:
    original = turn_of(started("model:1"), text("model:1", "a"), FAILED)
    retry = TurnScreen(job(id="job_2", retry_of="job_1"))
    retry.feed(log(started("model:1"), text("model:1", "a")))
    assert [step["id"] for step in retry.steps()] == [step["id"] for step in original.steps()][:-1]


WRITTEN = [
    *[started("text:1", "text"), text("text:1", "| a | b |\n| - | - |\n"), finished("text:1")],
    *[started("step:2", "part"), finished("step:2")],
    *[started("text:3", "text"), text("text:3", "| 1 | 2 |\n")],
]


def test_what_an_agent_writes_in_several_steps_is_one_message() -> None:
    page = Page.opened_on(turn_of(*WRITTEN, finished("text:3"), COMPLETED))
    assert [step["output"] for step in page.steps.values() if "| a" in step["output"]] == [
        "| a | b |\n| - | - |\n| 1 | 2 |\n"
    ]


def test_a_part_of_it_that_is_written_again_replaces_that_part() -> None:
    again = [started("text:3", "text"), text("text:3", "| 3 | 4 |\n"), finished("text:3"), COMPLETED]
    turn = turn_of(*WRITTEN)
    page = Page.opened_on(turn)
    page.show(turn.feed(log(*WRITTEN, *again)[len(WRITTEN) :]))
    assert [step["output"] for step in page.steps.values() if "| a" in step["output"]] == [
        "| a | b |\n| - | - |\n| 3 | 4 |\n"
    ]


def test_pieces_of_text_in_a_row_are_one_change() -> None:
    turn = TurnScreen(job())
    changes = turn.feed(log(started("model:1"), text("model:1", "a"), text("model:1", "b"), text("model:1", "c")))
    assert [type(change) for change in changes] == [Upsert, AddText]


def test_new_text_replaces_withdrawn_text_in_place() -> None:
    turn = TurnScreen(job())
    events = log(started("model:1"), text("model:1", "old"), started("model:1"), text("model:1", "new"))
    page = Page.opened_on(turn)
    page.show(turn.feed(events[:3]))
    changes = turn.feed(events[3:])
    assert Remove("job_1:model:1") not in changes
    page.show(changes)
    assert page.answer() == "new"


def test_a_very_long_answer_goes_on_in_further_messages() -> None:
    paragraph = "word " * 400 + "\n\n"
    turn = turn_of(started("model:1"), *[text("model:1", paragraph)] * 30, finished("model:1"), COMPLETED)
    messages = [step for step in turn.steps() if step["type"] == "assistant_message"]
    assert len(messages) > 1
    assert all(len(step["output"]) < MESSAGE_CHARACTERS + 2 * len(paragraph) for step in messages)
    assert "".join(step["output"] for step in messages).split() == (paragraph * 30).split()


DRAFTED: Line = ("job.incomplete", {"reason": "needs_arguments", "result": None})
REFUSED = {
    "code": "tool_arguments_invalid",
    "message": "The argument 'years' is wrong.",
    "fields": {"years": "It must be even."},
}


def tool_turn(*lines: Line, **fields: Any) -> TurnScreen:
    request = {"task": "save", "input": "a house", "arguments": {"title": "a house", "years": 0}}
    turn = TurnScreen(job(request=request, **fields), form=SAVING)
    turn.feed(log(*lines))
    return turn


def test_a_draft_is_an_open_form_and_nothing_more() -> None:
    turn = tool_turn(("job.queued", {"position": 0}), DRAFTED)
    page = Page.opened_on(turn)
    assert (page.form["open"], page.form["problems"]) == (True, {})
    assert [(field["name"], field["value"]) for field in page.form["fields"]] == [("title", "a house"), ("years", "0")]
    assert page.answer() == ""
    message = turn.steps()[0]
    assert (message["command"], message["output"]) == ("save", "a house")


def test_a_submitted_form_is_closed_and_its_result_stands_below() -> None:
    page = Page.opened_on(
        tool_turn(
            started("call:0", "tool", name="save"),
            finished("call:0", output="saved"),
            ("job.completed", {"result": "saved", "usage": None}),
        )
    )
    assert not page.form["open"]
    kinds = [step["type"] for step in page.steps.values()]
    assert kinds == ["user_message", "run", "assistant_message", "assistant_message"]
    assert page.below("job_1:form:message") == [("custom", "ToolForm"), ("custom", "JobCard")]
    assert page.answer() == "saved"


def test_arguments_that_only_the_tool_finds_wrong_open_the_form_again() -> None:
    turn = tool_turn(
        started("call:0", "tool", name="save"),
        finished("call:0", error=REFUSED),
        ("job.failed", {"error": {"code": REFUSED["code"], "message": REFUSED["message"]}}),
    )
    page = Page.opened_on(turn)
    assert (page.form["open"], page.form["problems"]) == (True, {"years": "It must be even."})
    assert page.answer() == "", "what is wrong stands at the field"
    assert turn.form_is_open


def test_a_failed_tool_keeps_its_form_closed() -> None:
    turn = tool_turn(started("call:0", "tool", name="save"), finished("call:0", error=FAILED[1]["error"]), FAILED)
    page = Page.opened_on(turn)
    assert not page.form["open"]
    assert (page.answer(), page.card["why"]) == ("", FAILED[1]["error"]["message"])


def test_an_incomplete_tool_shows_what_is_there_and_why_it_is_not_all() -> None:
    page = Page.opened_on(tool_turn(("job.incomplete", {"reason": "the budget is used up", "result": {"n": 3}})))
    assert page.answer().startswith("```json")
    assert page.card["why"] == "The answer is incomplete: the budget is used up."


MADE = [
    artifact("a b.plotly.json", "application/vnd.plotly.v1+json"),
    artifact("t.table.json", "application/vnd.longhaul.table+json"),
    artifact("p.png", "image/png"),
    artifact("x.html", "text/html"),
]
DRAWN = [("plotly", "a b.plotly.json"), ("dataframe", "t.table.json"), ("image", "p.png")]


def test_what_a_tool_makes_is_drawn_below_the_answer_and_other_files_are_on_the_card() -> None:
    lines: list[Line] = [started("model:1/call:0", "tool"), *MADE, started("model:2"), text("model:2", "See below.")]
    page = Page.opened_on(turn_of(*lines, COMPLETED))
    assert page.below("job_1:model:2") == DRAWN
    assert [file["name"] for file in page.card["files"]] == ["p.png", "x.html"]
    [chart] = [one for one in page.elements.values() if one["type"] == "plotly"]
    assert chart["url"] == "/project/artifact/job_1/a%20b.plotly.json?version=2"


def test_what_is_drawn_has_a_place_without_an_answer_too() -> None:
    call = started("call:0", "tool", name="save")
    told = Page.opened_on(tool_turn(call, *MADE, ("job.completed", {"result": {"summary": "Done."}, "usage": None})))
    assert told.below("job_1:end") == DRAWN
    assert Page.opened_on(tool_turn(call, *MADE, CANCELLED)).below("job_1:drawn") == DRAWN


def test_the_same_name_again_replaces_and_is_fetched_anew() -> None:
    turn = turn_of(started("model:1/call:0", "tool"), artifact("a.plotly.json"), artifact("a.plotly.json"), COMPLETED)
    [element] = [one for one in turn.elements() if one["name"] == "a.plotly.json"]
    assert element["url"].endswith("version=3")


STEPS = ["model:1", "model:2"]
LINES = st.one_of(
    st.builds(started, st.sampled_from(STEPS)),
    st.builds(text, st.sampled_from(STEPS), st.text("ab\n", min_size=1, max_size=3)),
    st.builds(lambda step: started(f"{step}/call:0", "tool"), st.sampled_from(STEPS)),
    st.builds(lambda step, n: progress(f"{step}/call:0", n, 9), st.sampled_from(STEPS), st.integers(0, 9)),
    st.builds(lambda step: finished(f"{step}/call:0", output=1), st.sampled_from(STEPS)),
    st.builds(finished, st.sampled_from(STEPS)),
    st.just(("log", {"step": None, "level": "info", "message": "note"})),
    st.builds(artifact, st.sampled_from(["a.csv", "b.plotly.json"])),
    st.builds(lambda error: finished("call:0", error=error), st.sampled_from([REFUSED, FAILED[1]["error"]])),
    st.just(started("call:0", "tool")),
)


@given(
    lines=st.lists(LINES, max_size=30),
    end=st.sampled_from([[], [COMPLETED], [FAILED], [CANCELLED], [DRAFTED]]),
    form=st.sampled_from([None, SAVING]),
    data=st.data(),
)
def test_a_page_that_watched_and_a_page_that_was_opened_later_show_the_same(
    lines: list[Line], end: list[Line], form: ToolForm | None, data: st.DataObject
) -> None:
    """However the events come in pages: live, after a reload in between, or all at once."""
    events = log(*lines, *end)
    turn = TurnScreen(job(), form=form)
    watching = Page.opened_on(turn)
    while events:
        size = data.draw(st.integers(1, len(events)))
        watching.show(turn.feed(events[:size]))
        watching.hear(turn.card.update())
        events = events[size:]
        assert vars(Page.opened_on(turn)) == vars(watching)
    whole = TurnScreen(job(), form=form)
    whole.feed(log(*lines, *end))
    assert vars(Page.opened_on(whole)) == vars(watching)
