"""A tool's schema as parameters, read once for forms, terminals, offline calls and checks."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from toolkit import UploadedFile, tool
from toolkit.parameters import MISSING, Kind, Parameter, arguments_of_files, file_ids, parameters_of
from toolkit.problems import problems_of
from toolkit.schemas import FILE_ID

FILE = {"type": "string", "format": FILE_ID}
TEXT = {"type": "string"}


@tool
def several(
    years: Annotated[int, Field(ge=1, lt=80, description="How long.")],
    papers: list[UploadedFile],
    main_paper: UploadedFile | None = None,
    tags: list[str] | None = None,
) -> None:
    """Take several."""


SEVERAL = parameters_of(several.spec.parameters)


def parameter(schema: Any, definitions: dict[str, Any] | None = None) -> Parameter:
    (one,) = parameters_of({"properties": {"v": schema}, "$defs": definitions or {}})
    return one


def test_a_schema_is_read_as_typed_parameters() -> None:
    years, papers, main_paper, tags = SEVERAL
    assert (years.title, years.kind, years.required, years.default) == ("Years", Kind.INTEGER, True, MISSING)
    assert (years.description, years.bounds) == ("How long.", {"minimum": 1, "exclusiveMaximum": 80})
    assert (papers.kind, papers.takes_many, papers.takes_files) == (Kind.FILES, True, True)
    assert (main_paper.title, main_paper.kind, main_paper.takes_many) == ("Main paper", Kind.FILE, False)
    assert (main_paper.nullable, main_paper.required, main_paper.default) == (True, False, None)
    assert (tags.kind, tags.item, tags.takes_many, tags.takes_files) == (Kind.LIST, Kind.TEXT, True, False)


@pytest.mark.parametrize(
    ("schema", "takes_files", "takes_many"),
    [
        (FILE, True, False),
        ({"$ref": "#/$defs/File"}, True, False),
        ({"anyOf": [FILE, {"type": "integer"}, {"type": "null"}]}, True, False),
        ({"anyOf": [FILE, {"type": "array", "items": FILE}]}, True, True),
        ({"anyOf": [FILE, TEXT]}, False, False),  # a word is no id
        ({"anyOf": [TEXT, {"type": "array", "items": TEXT}]}, False, True),
        ({"type": "array", "items": {"type": "object", "properties": {"file": FILE}}}, False, True),
        (True, False, False),
    ],
)
def test_a_parameter_knows_whether_it_takes_files_and_several_values(
    schema: Any, takes_files: bool, takes_many: bool
) -> None:
    one = parameter(schema, {"File": FILE})
    assert (one.takes_files, one.takes_many) == (takes_files, takes_many)


def test_the_files_that_arguments_name_are_found_with_their_parameters() -> None:
    arguments = {"papers": ["file_1", 3, "file_2"], "main_paper": "file_3", "tags": ["file_4"]}
    assert file_ids(arguments, SEVERAL) == [("papers", "file_1"), ("papers", "file_2"), ("main_paper", "file_3")]
    assert file_ids({}, SEVERAL) == []


def test_attached_files_go_to_every_parameter_that_takes_files() -> None:
    assert arguments_of_files(["file_1", "file_2"], SEVERAL) == {
        "papers": ["file_1", "file_2"],
        "main_paper": "file_2",
    }
    assert arguments_of_files([], SEVERAL) == {}


def test_an_unknown_entry_is_named() -> None:
    class Range(BaseModel):
        model_config = ConfigDict(extra="forbid")
        low: int = 1

    @tool
    def within(limits: Range) -> None:
        """Takes a range."""

    problems = problems_of({"limits": {"hihg": 2}}, within.spec.parameters)
    assert problems == {"limits": "It has an entry that the tool does not know: 'hihg'."}
