"""Tables that the page can draw, whatever a tool has saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.tables import BROKEN, MAX_BYTES, TOO_LARGE, drawable


def drawn(table: Any) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(drawable(json.dumps(table).encode()))
    return shown


def test_a_plain_table_is_drawn_as_it_is() -> None:
    table = {"columns": ["a", "b"], "index": [0, 1], "data": [[1, "x"], [2.5, None]]}
    assert drawn(table) == table


def test_cells_and_columns_that_the_page_cannot_take_are_written_out() -> None:
    shown = drawn({"columns": ["a.b", "", "c", "c"], "index": [0], "data": [[True, [1], {"k": None}]]})
    assert len(set(shown["columns"])) == 4
    assert all(name and "." not in name for name in shown["columns"])
    assert shown["data"] == [["true", "[1]", '{"k": null}', None]]


@pytest.mark.parametrize("table", [None, 3, [], {}, {"columns": 3, "data": []}, {"columns": ["a"], "data": [1]}])
def test_what_is_no_table_says_so(table: Any) -> None:
    assert drawn(table) == {"columns": [BROKEN], "index": [], "data": []}


def test_what_is_no_json_or_too_much_of_it_says_so() -> None:
    for broken in (b"", b"{", b"\xff", b"[" * 100_000, b'{"columns": ["a"], "data": [[NaN]]}'):
        assert json.loads(drawable(broken))["columns"] == [BROKEN]
    assert json.loads(drawable(b" " * (MAX_BYTES + 1)))["columns"] == [TOO_LARGE]


CELLS = st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a", ".", "x.y"]) | st.just([1])


@given(st.dictionaries(st.sampled_from(["columns", "data", "index"]), st.lists(CELLS | st.lists(CELLS), max_size=4)))
def test_whatever_it_is_the_page_gets_unique_columns_and_plain_cells(table: dict[str, Any]) -> None:
    shown = drawn(table)
    assert len(set(shown["columns"])) == len(shown["columns"])
    assert len(shown["index"]) == len(shown["data"])
    assert all(len(row) == len(shown["columns"]) for row in shown["data"])
    assert not any(isinstance(cell, bool | list | dict) for row in shown["data"] for cell in row)
