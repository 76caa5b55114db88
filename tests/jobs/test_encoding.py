"""What is sent to pages and programs is what their JSON parsers read."""

from __future__ import annotations

import json

import pytest

from jobs.encoding import encode


@pytest.mark.parametrize("value", ["ä 😀", "half a \ud83d", 2**70, {"a": [1.5, None, True]}])
def test_whatever_a_model_streams_can_be_sent(value: object) -> None:
    assert json.loads(encode(["update_message", {"input": value}])) == ["update_message", {"input": value}]
