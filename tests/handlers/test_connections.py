"""Web sockets of pages that read nothing or send too much, on a real server of nothing but sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import socketio
import uvicorn

from api import ApiOrChat
from handlers import connections
from handlers.connections import BURST, Allowance, Connections
from handlers.sockets import MAX_WAITING, PacketQueue
from tests.raw_page import RawPage, raw_page
from tests.waiting import until

MEGABYTE = 1_000_000


class Sockets:
    """Sends each page `chunk` as often as it asks."""

    def __init__(self) -> None:
        self.io = socketio.AsyncServer(async_mode="asgi", ping_interval=60, ping_timeout=60)
        self.io.eio.create_queue = PacketQueue
        self.io.on("connect", self._connect)
        self.io.on("disconnect", self._disconnect)
        self.io.on("chunk", self._chunk)
        self.url = ""
        self.chunk = "x" * MEGABYTE
        self.open: set[str] = set()
        self.asked = 0
        app = Connections(socketio.ASGIApp(self.io, socketio_path="ws/socket.io"))
        served = ApiOrChat(api=app, chat=app)
        self.server = uvicorn.Server(uvicorn.Config(served, port=0, log_level="error", lifespan="off"))

    async def run(self) -> None:
        await self.server.serve()

    async def _connect(self, sid: str, *_: object) -> None:
        self.open.add(sid)

    async def _disconnect(self, sid: str, *_: object) -> None:
        self.open.discard(sid)

    async def _chunk(self, sid: str) -> None:
        self.asked += 1
        await self.io.emit("chunk", self.chunk, to=sid)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Sockets]:
    served = Sockets()
    running = asyncio.create_task(served.run())
    await until(lambda: served.server.started, within=30, what="the server listens")
    port = served.server.servers[0].sockets[0].getsockname()[1]
    served.url = f"http://127.0.0.1:{port}"
    yield served
    served.server.should_exit = True
    await asyncio.wait_for(running, 30)


async def ask(page: RawPage, megabytes: int) -> None:
    for _ in range(megabytes):
        await page.emit("chunk")


async def test_a_page_that_reads_nothing_is_cut_off_and_others_are_not(
    served: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_page(served.url) as blind, raw_page(served.url) as other:
        blind.stop_reading()
        await ask(blind, 60)
        await until(lambda: len(served.open) == 1, within=30, what="one of them was cut off")
        await ask(other, 1)
        assert served.chunk in await other.event("chunk")
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == ["page cut off"]


async def test_a_page_that_reads_receives_any_number_of_megabytes(served: Sockets) -> None:
    async with raw_page(served.url) as page:
        for _ in range(5):
            await ask(page, 6)
            for _ in range(6):
                assert served.chunk in await page.event("chunk")


async def test_a_single_packet_may_be_longer_than_the_limit(served: Sockets) -> None:
    served.chunk = "x" * (2 * MAX_WAITING)
    async with raw_page(served.url) as page:
        await ask(page, 1)
        assert served.chunk in await page.event("chunk")


async def test_a_flood_closes_the_socket(served: Sockets) -> None:
    served.chunk = "x"
    async with raw_page(served.url) as page:
        for _ in range(3 * int(BURST)):
            await page.answer_ping()
        await asyncio.wait_for(page.closed(), 30)
        await until(lambda: not served.open, within=30, what="it was cut off")


async def test_the_server_ends_beside_a_page_that_reads_nothing(
    served: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.1)
    async with raw_page(served.url) as page:
        page.stop_reading()
        await ask(page, 6)
        await until(lambda: served.asked == 6, within=30, what="all is sent, as far as it can be")
        served.server.should_exit = True
        await until(lambda: not served.open, within=30, what="it is given up")


def test_a_person_is_never_too_fast_and_a_flood_soon_is() -> None:
    person, flood = Allowance(0.0), Allowance(0.0)
    assert all(person.take(1_000, now=second / 10) for second in range(6_000))
    assert sum(flood.take(1_000, now=second / 1_000) for second in range(1_000)) < BURST + 20
    assert not flood.take(1_000, now=1.0)
    assert flood.take(1_000, now=2.0)


def test_long_messages_count_for_more() -> None:
    page = Allowance(0.0)
    assert sum(page.take(400 * MEGABYTE, now=0.0) for _ in range(10)) == 4
