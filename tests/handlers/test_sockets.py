"""What is put into a page's socket is what the page's JSON parser reads."""

from __future__ import annotations

import json

import pytest

from handlers.sockets import _encoded


@pytest.mark.parametrize("value", ["ä 😀", "half a \ud83d", 2**70, {"a": [1.5, None, True]}])
def test_whatever_a_model_streams_can_be_sent(value: object) -> None:
    assert json.loads(_encoded(["update_message", {"input": value}])) == ["update_message", {"input": value}]
