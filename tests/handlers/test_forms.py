"""Forms: from a tool's JSON Schema to fields, from what a person typed to arguments, or to a sentence at the field."""

from __future__ import annotations

import socket
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from handlers.forms import ToolForm, prefill
from tests.handlers.screens import form_of
from toolkit import ToolContext, UploadedFile, tool
from toolkit.problems import problems_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    y: int = 2


@tool
def everything(
    ctx: ToolContext,
    title: str,
    papers: list[UploadedFile],
    years: Annotated[int, Field(ge=1, le=80, description="How long.")] = 30,
    rate: Annotated[float, Field(gt=0)] = 0.5,
    style: Literal["short", "long", 3] = "short",
    colour: Colour = Colour.RED,
    begin: date | None = None,
    moment: datetime | None = None,
    tags: Annotated[list[str], Field(max_length=3)] = [],  # noqa: B006 - a tool's default is never changed
    weights: list[float] | None = None,
    loud: bool = False,
    sure: bool | None = None,
    report: UploadedFile | None = None,
    point: Point | None = None,
    either: int | str = 3,
    story: Annotated[str, Field(max_length=5000)] = "once",
) -> str:
    """Take everything."""
    return title


FORM = ToolForm.of(everything.spec.to_json())
GOOD: dict[str, Any] = {"title": "a", "papers": ["file_1"]}


def widgets(**typed: Any) -> dict[str, Any]:
    """What the page sends when a person changed only these."""
    return {field["name"]: field["value"] for field in FORM.props(GOOD)} | typed


def test_each_kind_of_parameter_has_its_field() -> None:
    kinds = {field.name: field.kind.value for field in FORM.fields}
    assert kinds == {
        "title": "text",
        "papers": "files",
        "years": "integer",
        "rate": "number",
        "style": "choice",
        "colour": "choice",
        "begin": "date",
        "moment": "datetime",
        "tags": "list",
        "weights": "list",
        "loud": "boolean",
        "sure": "choice",
        "report": "file",
        "point": "json",
        "either": "json",
        "story": "long",
    }


def test_fields_show_defaults_descriptions_and_bounds() -> None:
    fields = {field["name"]: field for field in FORM.props({})}
    assert fields["years"]["value"] == "30"
    assert (fields["years"]["description"], fields["years"]["hint"]) == ("How long.", "At least 1 and at most 80.")
    assert fields["rate"]["hint"] == "More than 0."
    assert (fields["style"]["options"], fields["style"]["value"]) == (["short", "long", "3"], "0")
    assert (fields["sure"]["options"], fields["sure"]["optional"]) == (["Yes", "No"], True)
    assert [name for name, field in fields.items() if field["required"]] == ["title", "papers"]
    assert fields["papers"]["description"] == "", "people choose files by name"


def test_a_form_sent_as_it_was_opened_gives_the_defaults() -> None:
    filled = FORM.read(widgets())
    assert filled.problems == {}
    assert filled.arguments == GOOD | {
        "years": 30,
        "rate": 0.5,
        "style": "short",
        "colour": "red",
        "tags": [],
        "loud": False,
        "either": 3,
        "story": "once",
    }


def test_what_is_typed_becomes_what_the_tool_takes() -> None:
    typed = widgets(
        years=" 7 ",
        rate="1e-2",
        style="2",
        begin="2026-01-02",
        moment="2026-01-02T10:30",
        tags="a b\n\n c \n",
        weights="1\n2.5",
        loud=True,
        sure="1",
        report="file_2",
        point='{"x": 1}',
        either="word",
        story="",
    )
    filled = FORM.read(typed)
    assert filled.problems == {}
    assert filled.arguments == GOOD | {
        "years": 7,
        "rate": 0.01,
        "style": 3,
        "colour": "red",
        "begin": "2026-01-02",
        "moment": "2026-01-02T10:30",
        "tags": ["a b", "c"],
        "weights": [1, 2.5],
        "loud": True,
        "sure": False,
        "report": "file_2",
        "point": {"x": 1},
        "either": "word",
        "story": "",
    }
    everything.parameters.check(filled.arguments)


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("title", "", "This is required."),
        ("papers", [], "This is required."),
        ("years", "0", "Must be at least 1."),
        ("years", "81", "Must be at most 80."),
        ("years", "many", "Must be a whole number."),
        ("years", "1.5", "Must be a whole number."),
        ("years", "9" * 5000, "Must be a whole number."),
        ("rate", "0", "Must be more than 0."),
        ("rate", "nan", "Must be a number."),
        ("rate", "1e999", "Must be a number."),
        ("style", "9", "Must be one of: short, long, 3."),
        ("begin", "tomorrow", "Must be a date, such as 2026-11-21."),
        ("moment", "noon", "Must be a date and a time, such as 2026-11-21T14:30."),
        ("tags", "a\nb\nc\nd", "May have at most 3 entries."),
        ("weights", "1\nheavy", "Entry 2: Must be a number."),
        ("point", '{"x": "left"}', "'x': Must be a whole number."),
        ("point", "{", 'Must be JSON, such as {"name": "value"}.'),
        ("point", "{}", "A required entry is missing."),
        ("story", "x" * 5001, "Must have at most 5,000 characters."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(field: str, typed: Any, sentence: str) -> None:
    assert FORM.read(widgets(**{field: typed})).problems == {field: sentence}


WIDGETS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text('01aé-.:T \n{"', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ax"), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([field.name for field in FORM.fields]), WIDGETS))
def test_whatever_a_page_sends_is_read_or_refused(values: dict[str, Any]) -> None:
    filled = FORM.read(values)
    assert all(sentence[0].isupper() or sentence[0] == "'" for sentence in filled.problems.values())
    FORM.props(filled.arguments)
    FORM.file_ids(filled.arguments)


def test_what_a_form_gives_it_shows_again() -> None:
    arguments = FORM.read(widgets(tags="a\nb", point='{"x": 1}', sure="0")).arguments
    again = {field["name"]: field["value"] for field in FORM.props(arguments)}
    assert FORM.read(again).arguments == arguments


def test_a_tool_that_nobody_offers_any_more_shows_what_it_was_given() -> None:
    fields = ToolForm.unknown("gone", {"n": 3, "words": "hello"}).props({"n": 3, "words": "hello"})
    assert [(field["label"], field["value"]) for field in fields] == [("N", "3"), ("Words", "hello")]


def test_sentences_of_the_tools_own_process_find_their_fields() -> None:
    placed = FORM.at_fields({"point.x": "Not so far.", "elsewhere": "Who knows."}, otherwise="Wrong.")
    assert placed == {"point": "Not so far.", "": "Who knows."}
    assert FORM.at_fields({}, otherwise="Wrong.") == {"": "Wrong."}


def test_a_schema_with_a_foreign_pattern_is_left_to_the_tool() -> None:
    form = form_of({"properties": {"code": {"type": "string", "pattern": r"\p{Greek}+"}}})
    assert form.read({"code": "abc"}).problems == {}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("a long title", {"title": "a long title"}),
        ('years=7 title="a b"', {"years": 7, "title": "a b"}),
        ("years=7 the rest", {"years": 7, "title": "the rest"}),
        ("where x=1 and y=2", {"title": "where x=1 and y=2"}),
        ("years=many", {"years": "many"}),
        ("loud=yes style=long tags=a,b", {"loud": True, "style": "long", "tags": ["a", "b"]}),
        ('papers=file_1,file_2 tags="a, b",c', {"papers": ["file_1", "file_2"], "tags": ["a, b", "c"]}),
        ("papers=file_1 papers=file_2 the title", {"papers": ["file_1", "file_2"], "title": "the title"}),
        ('tags=["a", "b"] weights=1,2.5', {"tags": ["a", "b"], "weights": [1, 2.5]}),
        ("sure=yes style=3", {"sure": True, "style": 3}),
        ('{"years": 7, "other": 1}', {"years": 7}),
        ('{"other": 1}', {"title": '{"other": 1}'}),
        ("{broken", {"title": "{broken"}),
    ],
)
def test_words_behind_a_command_fill_its_form(text: str, arguments: dict[str, Any]) -> None:
    assert prefill(FORM, text, []) == arguments


def test_words_go_into_the_text_that_is_needed_before_others() -> None:
    schema = {"properties": {"style": {"type": "string"}, "query": {"type": "string"}}, "required": ["query"]}
    assert prefill(form_of(schema), "select 1", []) == {"query": "select 1"}
    assert prefill(form_of({**schema, "required": []}), "select 1", []) == {"style": "select 1"}
    number = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert prefill(form_of(number), "3", []) == {"n": 3}


def test_attached_files_fill_the_file_fields() -> None:
    assert prefill(FORM, "", ["file_1", "file_2"]) == {"papers": ["file_1", "file_2"], "report": "file_2"}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"v": True}},
        {"properties": {"v": {"type": "array", "items": True}}},
        {"properties": {"v": {"anyOf": [True, {"type": "null"}]}}},
        {"properties": {"v": {"type": "array", "items": [{"type": "string"}]}}},
        {"properties": {"v": {"$ref": "#/$defs/V"}}, "$defs": {"V": True}},
        {"properties": {"v": {"$ref": "#/$defs/V"}}, "$defs": {"V": {"type": "array", "items": {"$ref": "#/$defs/V"}}}},
    ],
)
def test_any_schema_of_a_foreign_server_makes_a_form(schema: dict[str, object]) -> None:
    form = ToolForm.of({"name": "foreign", "parameters": schema})
    assert [field["name"] for field in form.props({})] == ["v"]


def test_what_a_schema_names_elsewhere_is_not_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        schema = {"properties": {"v": {"$ref": f"http://127.0.0.1:{port}/schema.json"}}}
        assert problems_of({"v": 1}, schema) == {}
        with pytest.raises(BlockingIOError):
            server.accept()
