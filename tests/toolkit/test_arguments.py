"""What a signature says to forms and models, and what the function gets for what they send."""

import enum
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from toolkit import Tool, ToolArgumentsInvalid, UploadedFile, tool
from toolkit.schemas import argument_words


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Range(BaseModel):
    low: int
    high: int = 10


class Folder(BaseModel):
    name: str
    inside: list["Folder"] = []


@tool
def everything(
    text: str,
    kind: Literal["mean", "median"] = "mean",
    colour: Colour = Colour.RED,
    years: Annotated[int, Field(ge=1, le=60, description="how long")] = 30,
    share: float | None = None,
    title: Optional[str] = None,  # noqa: UP045 - authors write it so
    names: list[str] = [],  # noqa: B006 - as above
    start: date | None = None,
    moment: datetime | None = None,
    limits: Range = Range(low=1),  # noqa: B008 - as above
    file: UploadedFile | None = None,
    files: list[UploadedFile] | None = None,
) -> None:
    """Take everything.

    Args:
        text: What to say,
            in one line.
        years: Not this: the field says its own.
        file: The table: CSV or
            Excel.

    Returns:
        Nothing: this is no argument.
    """


FILE = {"type": "string", "format": "file-id", "description": "The id of an uploaded file."}
NULL = {"type": "null"}
TODAY = date(2024, 2, 29)
FULL = {
    "text": "a",
    "kind": "median",
    "colour": "green",
    "years": 3,
    "share": 0.5,
    "title": "b",
    "names": ["c"],
    "start": "2024-02-29",
    "moment": "2024-02-29T12:00:00",
    "limits": {"low": 2, "high": 3},
    "file": "file_1",
    "files": ["file_2", "file_3"],
}

SCHEMAS = {
    "text": {"type": "string", "title": "Text", "description": "What to say, in one line."},
    "kind": {"type": "string", "title": "Kind", "enum": ["mean", "median"], "default": "mean"},
    "colour": {"type": "string", "title": "Colour", "enum": ["red", "green"], "default": "red"},
    "years": {
        "type": "integer",
        "title": "Years",
        "minimum": 1,
        "maximum": 60,
        "default": 30,
        "description": "how long",
    },
    "share": {"anyOf": [{"type": "number"}, NULL], "title": "Share", "default": None},
    "title": {"anyOf": [{"type": "string"}, NULL], "title": "Title", "default": None},
    "names": {"type": "array", "items": {"type": "string"}, "title": "Names", "default": []},
    "start": {"anyOf": [{"type": "string", "format": "date"}, NULL], "title": "Start", "default": None},
    "moment": {"anyOf": [{"type": "string", "format": "date-time"}, NULL], "title": "Moment", "default": None},
    "file": {"anyOf": [FILE, NULL], "title": "File", "default": None, "description": "The table: CSV or Excel."},
    "files": {"anyOf": [{"type": "array", "items": FILE}, NULL], "title": "Files", "default": None},
}


def check(of: Tool[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    return of.parameters.check(arguments).values


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_parameters_schema_stands_for_itself(name: str) -> None:
    assert everything.spec.parameters["properties"][name] == SCHEMAS[name]


@pytest.mark.parametrize(
    "docstring",
    [
        "Count.\n\n    Args:\n        least: The shortest word: its\n            letters.\n    ",
        "Count.\n\n    Parameters\n    ----------\n    least : int\n        The shortest word:\n        its letters.",
        "Count.\n\n    :param least: The shortest word: its\n        letters.\n    :type least: int\n    ",
    ],
    ids=["Google", "NumPy", "Sphinx"],
)
def test_a_docstring_of_any_common_style_describes_the_parameters(docstring: str) -> None:
    assert argument_words(docstring) == {"least": "The shortest word: its letters."}


@pytest.mark.parametrize("docstring", ["", "Count.", "Args:", "Args:\n    least", ":param", "Parameters\n----------\n"])
def test_a_docstring_that_describes_nothing_is_no_error(docstring: str) -> None:
    assert argument_words(docstring) in ({}, {"least": ""})


def test_schemas_have_no_references_unless_a_model_contains_itself() -> None:
    @tool
    def walk(folder: Folder) -> None: ...

    assert "$ref" not in str(everything.spec.parameters)
    assert "$defs" not in everything.spec.parameters
    assert everything.spec.parameters["properties"]["limits"]["properties"]["high"]["default"] == 10
    assert "Folder" in walk.spec.parameters["$defs"]
    assert check(walk, {"folder": {"name": "a", "inside": [{"name": "b"}]}})["folder"].inside[0].name == "b"


def test_what_is_left_out_has_its_default() -> None:
    values = check(everything, {"text": "a"})
    assert values == {
        "text": "a",
        "kind": "mean",
        "colour": Colour.RED,
        "years": 30,
        "names": [],
        "limits": Range(low=1),
        **dict.fromkeys(("share", "title", "start", "moment", "file", "files")),
    }


def test_what_is_given_is_converted() -> None:
    checked = everything.parameters.check(FULL)
    values = checked.values
    assert (values["colour"], values["start"], values["moment"]) == (Colour.GREEN, TODAY, datetime(2024, 2, 29, 12))
    assert values["limits"] == Range(low=2, high=3)
    assert [values["file"].id, *(file.id for file in values["files"])] == ["file_1", "file_2", "file_3"]
    assert [file.id for file in checked.files] == ["file_1", "file_2", "file_3"]


def test_a_default_is_not_shared_between_calls() -> None:
    check(everything, {"text": "a"})["names"].append("kept")
    assert check(everything, {"text": "a"})["names"] == []


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"kind": "mode"}, "kind", "input should be 'mean' or 'median', not 'mode'"),
        ({"colour": "blue"}, "colour", "input should be 'red' or 'green', not 'blue'"),
        ({"years": 61}, "years", "less than or equal to 60, not 61"),
        ({"years": 2.5}, "years", "valid integer"),
        ({"start": "29.2.2024"}, "start", "not '29.2.2024'"),
        ({"start": "2023-02-29"}, "start", "not '2023-02-29'"),
        ({"names": ["a", 2]}, "names.1", "valid string, not 2"),
        ({"names": "a"}, "names", "valid list, not 'a'"),
        ({"limits": {"high": 1}}, "limits.low", "is missing"),
        ({"file": ""}, "file", "at least 1 character"),
        ({"files": ["x", None]}, "files.1", "valid string, not None"),
        ({"text": None}, "text", "valid string, not None"),
    ],
)
def test_each_wrong_argument_has_its_sentence(wrong: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ToolArgumentsInvalid) as caught:
        check(everything, {"text": "a", **wrong})
    assert list(caught.value.fields) == [field]
    assert words in caught.value.fields[field]
    assert str(caught.value) == caught.value.fields[field]


def test_all_problems_have_a_sentence_and_three_are_told() -> None:
    wrong = {"text": 1, "kind": "x", "years": 0, "share": "x", "unknown": 1}
    with pytest.raises(ToolArgumentsInvalid) as caught:
        check(everything, wrong)
    assert set(caught.value.fields) == set(wrong)
    assert str(caught.value).count("The argument") == 3


def test_sentences_about_very_many_and_very_long_things_are_bounded() -> None:
    with pytest.raises(ToolArgumentsInvalid) as caught:
        check(everything, {"text": "a", "names": [1] * 10_000, "x" * 10_000: "y" * 10_000})
    assert len(caught.value.fields) == 100
    assert sum(map(len, caught.value.fields.values())) < 100_000
