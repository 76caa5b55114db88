"""What may become a turn."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from handlers.chat import is_message
from handlers.starters import STARTERS, starter_of

GOOD: dict[str, Any] = {"message": {"id": str(uuid.uuid4()), "output": "hello"}, "fileReferences": [{"id": "file_1"}]}


def test_a_pages_message_is_one() -> None:
    assert is_message(GOOD)
    assert is_message({**GOOD, "fileReferences": None})


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "text",
        [],
        {},
        {"message": None},
        {"message": {"id": 5, "output": "x"}},
        {"message": {"id": "not-a-uuid", "output": "x"}},
        {"message": {"id": str(uuid.uuid1()), "output": "x"}},
        {"message": {"id": str(uuid.uuid4()), "output": {"nested": 1}}},
        {"message": {"id": str(uuid.uuid4()), "output": "x", "command": {"nested": 1}}},
        {**GOOD, "fileReferences": "file_1"},
        {**GOOD, "fileReferences": [{"id": None}]},
        {**GOOD, "fileReferences": [[]]},
    ],
)
def test_anything_else_is_none(payload: object) -> None:
    assert not is_message(payload)


@pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.file)
def test_every_starter_names_a_sample_that_is_there(starter: Any) -> None:
    assert starter.path.is_file()
    assert starter_of(starter.message) is starter
