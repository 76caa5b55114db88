"""Prompts with columns in braces, and the names of the columns that are added."""

import pytest

from toolkit.errors import ToolError
from tools.mapping import Template, added_columns

COLUMNS = ["id", "text", "Full Name", "a.b"]
ROW: dict[str, str | int | float | bool | None] = {"id": 7, "text": "{id} {{x}}", "Full Name": "Ada", "a.b": None}


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [
        ("Rate {text}!", "Rate {id} {{x}}!"),
        ("{Full Name} {id}{id}", "Ada 77"),
        ("{full  name}/{TEXT}", "Ada/{id} {{x}}"),
        ('{{"id": {id}}}', '{"id": 7}'),
        ("{a.b}|{id}", "|7"),
    ],
)
def test_placeholders_become_cells_and_nothing_else(prompt: str, filled: str) -> None:
    assert Template.parse(prompt, COLUMNS).fill(ROW) == filled


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("Rate {stars}", r"The table has no column 'stars'. Its columns are 'id', 'text', 'Full Name', 'a.b'."),
        ("{id.__class__}", r"The table has no column 'id.__class__'."),
        ("{id:>10}", r"The table has no column 'id:>10'."),
        ("{}", r"The table has no column ''."),
        ("Rate {id} as {", r"The prompt has a single '{' at character 14."),
        ("Rate } {id}", r"The prompt has a single '}' at character 6."),
        ("Rate it", r"The prompt names no column, so all rows would get the same question."),
    ],
)
def test_a_prompt_that_does_not_fit_the_table_is_explained(prompt: str, sentence: str) -> None:
    with pytest.raises(ToolError) as caught:
        Template.parse(prompt, COLUMNS)
    assert str(caught.value).startswith(sentence)


def test_added_columns_get_names_that_the_table_does_not_have() -> None:
    assert added_columns(["text"], "answer") == ["answer", "status", "tokens"]
    assert added_columns(["Status", "tokens"], "answer") == ["answer", "answer_status", "answer_tokens"]
    assert added_columns(["text"], "status") == ["status", "status_status", "tokens"]
    with pytest.raises(ToolError, match=r"The table already has a column 'Text': choose another output_column."):
        added_columns(["text"], "Text")
