"""Arguments as people type them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.parameters import parameters_of
from toolkit.typed import find_pairs, split_entries

INTEGER = {"type": "integer"}
TEXT = {"type": "string"}
PARAMETERS = parameters_of(
    {
        "properties": {
            "title": TEXT,
            "years": INTEGER,
            "limit": {"anyOf": [INTEGER, {"type": "null"}]},
            "style": {"enum": ["short", 3]},
            "loud": {"type": "boolean"},
            "sure": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "tags": {"type": "array", "items": TEXT},
            "weights": {"type": "array", "items": {"type": "number"}},
            "files": {"type": "array", "items": {"type": "string", "format": "file-id"}},
            "points": {"type": "array", "items": {"type": "object"}},
            "either": {"anyOf": [TEXT, {"type": "array", "items": TEXT}]},
            "free": {},
        }
    }
)


@pytest.mark.parametrize(
    ("text", "arguments", "rest"),
    [
        ("years=7 the rest", {"years": 7}, "the rest"),
        ("say title='two words' and on", {"title": "two words"}, "say  and on"),
        ('title="it\'s" years=007', {"title": "it's", "years": 7}, ""),
        ("title=it's fine isn't", {"title": "it's"}, "fine isn't"),
        ("title=a,b", {"title": "a,b"}, ""),
        ("title=7 years=many", {"title": "7", "years": "many"}, ""),
        ("years=1 years=2", {"years": 2}, ""),
        ("style=3 loud=no sure=YES limit=null", {"style": 3, "loud": False, "sure": True, "limit": None}, ""),
        ('free={"a":1} either=a', {"free": {"a": 1}, "either": "a"}, ""),
        ("files=a,b and more", {"files": ["a", "b"]}, "and more"),
        ("files=a files=b", {"files": ["a", "b"]}, ""),
        ('tags="a, b",c tags=d', {"tags": ["a, b", "c", "d"]}, ""),
        ('tags=a,"b c" d', {"tags": ["a", "b c"]}, "d"),
        ('tags=["a", "b c"] d', {"tags": ["a", "b c"]}, "d"),
        ("tags=[a, b c] d", {"tags": ["a", "b c"]}, "d"),
        ("weights=[1, 2.5] files=[] x", {"weights": [1, 2.5], "files": []}, "x"),
        ("tags=[a, b", {"tags": ["[a"]}, "b"),
        ('tags="open and', {"tags": ['"open']}, "and"),
        ("weights=1,2.5,x", {"weights": [1, 2.5, "x"]}, ""),
        ('points={"x":1} points={"x":2}', {"points": [{"x": 1}, {"x": 2}]}, ""),
        ("either=a either=b", {"either": ["a", "b"]}, ""),
        ("years= 5 tags= other=1 =2", {}, "years= 5 tags= other=1 =2"),
        ("x='a years=3' years=4", {"years": 4}, "x='a years=3'"),
        ("(years=3)", {}, "(years=3)"),
    ],
)
def test_pairs_in_a_text_are_read_and_taken_out(text: str, arguments: dict[str, Any], rest: str) -> None:
    pairs = find_pairs(text, PARAMETERS)
    assert (pairs.arguments(PARAMETERS), pairs.rest) == (arguments, rest)


@given(st.lists(st.text("ab ,=[", min_size=1), min_size=1))
def test_entries_that_are_quoted_come_out_as_they_went_in(entries: list[str]) -> None:
    assert split_entries(",".join(f'"{entry}"' for entry in entries)) == entries


@given(st.text("tagsyer=,[]{}\"' \n1:"))
def test_whatever_is_typed_is_read(text: str) -> None:
    find_pairs(text, PARAMETERS).arguments(PARAMETERS)
