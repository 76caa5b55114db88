"""Frames on the socket pair."""

import asyncio
import socket
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pytest

from toolkit import wire
from toolkit.errors import NotJson


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ({"a": (1, None, True, "ü")}, {"a": [1, None, True, "ü"]}),
        (Point(x=1), {"x": 1}),
        (date(2024, 1, 2), "2024-01-02"),
        (np.int64(3), 3),
        (np.array([1.5, 2]), [1.5, 2.0]),
    ],
)
def test_values_are_read_as_they_will_be_after_a_restart(value: Any, after: Any) -> None:
    assert wire.plain(value) == after


@pytest.mark.parametrize("value", [object(), float("inf"), np.array([np.nan]), {(1, 2): 3}])
def test_values_that_json_cannot_carry_are_refused(value: Any) -> None:
    with pytest.raises(NotJson):
        wire.plain(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append({"again": value})
    with pytest.raises(NotJson, match="contains itself"):
        wire.plain(value)


async def test_both_ends_read_what_the_other_sends() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        channel = wire.Channel(theirs)
        channel.send(wire.with_length(b"hello" * 1000))
        assert await wire.read(reader) == b"hello" * 1000
        writer.write(wire.with_length(b"ping"))
        assert await asyncio.to_thread(channel.receive) == b"ping"
        writer.close()
        await writer.wait_closed()
        assert await asyncio.to_thread(channel.receive) is None


def test_a_body_that_is_too_large_gets_no_frame() -> None:
    with pytest.raises(wire.MessageTooLarge):
        wire.with_length(b"x" * (wire.MAX_MESSAGE_BYTES + 1))


async def test_a_frame_that_announces_too_much_is_refused() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"\xff\xff\xff\xff")
    with pytest.raises(wire.MessageTooLarge):
        await wire.read(reader)


async def test_a_stream_that_ends_within_a_frame_has_ended() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(wire.with_length(b"hello")[:-1])
    reader.feed_eof()
    assert await wire.read(reader) is None
