"""The queue between a page's socket and what is sent to it."""

from __future__ import annotations

import asyncio

import pytest
from engineio.packet import MESSAGE, Packet

from handlers.sockets import PacketQueue


def packet(text: str) -> Packet:
    return Packet(MESSAGE, text)


async def test_packets_reach_the_reader_in_order_whether_it_waits_or_comes_later() -> None:
    queue, (first, second, third) = PacketQueue(), map(packet, "abc")
    waiting = asyncio.ensure_future(queue.get())
    for one in (first, second, third):
        queue.put_nowait(one)
    assert await waiting is first
    assert await asyncio.wait_for(queue.get(), 30) is second
    assert queue.get_nowait() is third
    assert queue.empty()


async def test_a_reader_that_gave_up_takes_no_packet_with_it() -> None:
    queue, first = PacketQueue(), packet("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 0.001)
    queue.put_nowait(first)
    assert await asyncio.wait_for(queue.get(), 30) is first


async def test_join_ends_when_each_packet_was_sent() -> None:
    queue = PacketQueue()
    queue.put_nowait(packet("a"))
    joining = asyncio.create_task(queue.join())
    await queue.get()
    await asyncio.sleep(0)
    assert not joining.done()
    queue.task_done()
    await asyncio.wait_for(joining, 30)
