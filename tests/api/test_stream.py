"""The stream of every door, on real sockets: slow readers, leaving, the held headers, a clean end."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from api.api_or_chat import ApiOrChat
from api.errors import ApiError, install_errors
from api.stream import ClientGone, EventStream, Frames, await_first_frame
from tests.waiting import until

PIECE = b"data: " + b"x" * 60_000 + b"\n\n"


class Stream:
    """What a test's application streams, and what became of it."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.closed = asyncio.Event()
        self.go = asyncio.Event()
        self.sent = 0

    async def on_leave(self) -> None:
        self.left.set()

    async def endless(self) -> Frames:
        try:
            while True:
                self.sent += 1
                yield PIECE
        finally:
            self.closed.set()

    async def late(self) -> Frames:
        try:
            await self.go.wait()
            yield b"data: 1\n\n"
        finally:
            self.closed.set()

    async def timing_out(self) -> Frames:
        yield b"data: 1\n\n"
        raise TimeoutError

    async def failing(self) -> Frames:
        raise ApiError(429, "model_rate_limited", "Wait a little.")
        yield b""


@contextlib.asynccontextmanager
async def serving(answer: Callable[[Request], Any]) -> AsyncIterator[int]:
    """`answer` at /api/stream of a real server; gives its port."""
    app = FastAPI()
    install_errors(app)
    app.add_api_route("/api/stream", answer, response_model=None)
    config = uvicorn.Config(ApiOrChat(api=app, chat=app), port=0, log_level="info", lifespan="off")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server._serve([listening]))
        await until(lambda: server.started, within=30, what="the server listens")
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def unread_connection(port: int) -> socket.socket:
    """A client that asks, and reads nothing ever."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


async def read_to_the_end(client: socket.socket) -> bool:
    """Whether the answer had an end, once the connection has one."""
    loop, last = asyncio.get_running_loop(), b""
    with client, contextlib.suppress(ConnectionResetError):
        while piece := await loop.sock_recv(client, 1 << 20):
            last = piece
    return last.endswith(b"0\r\n\r\n")


async def test_a_reader_that_takes_nothing_is_dropped_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    stream = Stream()

    async def answer(request: Request) -> Response:
        return EventStream(stream.endless(), ping_seconds=5, on_leave=stream.on_leave, slow_seconds=0.3)

    with caplog.at_level(logging.WARNING):
        async with serving(answer) as port:
            client = await unread_connection(port)
            async with asyncio.timeout(30):
                await stream.left.wait()
                await stream.closed.wait()
            async with asyncio.timeout(30):
                assert not await read_to_the_end(client), "the connection is cut, the answer is not ended"
    assert stream.sent < 200, "what nobody reads must not pile up"
    assert not caplog.records, caplog.text


async def test_a_timeout_behind_the_stream_is_not_taken_for_a_slow_reader(caplog: pytest.LogCaptureFixture) -> None:
    stream = Stream()

    async def answer(request: Request) -> Response:
        return EventStream(stream.timing_out(), ping_seconds=5, on_leave=stream.on_leave)

    async with serving(answer) as port, httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://127.0.0.1:{port}/api/stream")
        await until(lambda: caplog.records, within=30, what="the log tells of the defect")
    assert not stream.left.is_set()


async def test_a_client_that_leaves_is_noticed_at_once(caplog: pytest.LogCaptureFixture) -> None:
    stream = Stream()

    async def answer(request: Request) -> Response:
        return EventStream(stream.late(), ping_seconds=5, on_leave=stream.on_leave)

    with caplog.at_level(logging.WARNING):
        async with serving(answer) as port:
            (await unread_connection(port)).close()
            async with asyncio.timeout(30):
                await stream.left.wait()
                await stream.closed.wait()
    assert not caplog.records, caplog.text


async def test_an_end_is_no_leaving() -> None:
    stream = Stream()
    stream.go.set()

    async def answer(request: Request) -> Response:
        return EventStream(stream.late(), ping_seconds=5, on_leave=stream.on_leave)

    async with serving(answer) as port, httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{port}/api/stream")).text == "data: 1\n\n"
    assert not stream.left.is_set()


async def test_headers_are_held_until_the_first_frame_and_then_lost_to_none() -> None:
    stream = Stream()

    async def answer(request: Request) -> Response:
        return EventStream(await await_first_frame(request, stream.late(), seconds=30), ping_seconds=5)

    async with serving(answer) as port, httpx.AsyncClient() as client:
        asking = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/api/stream"))
        await asyncio.wait({asking}, timeout=0.2)
        assert not asking.done()
        stream.go.set()
        assert (await asking).text == "data: 1\n\n"


async def test_after_a_while_headers_come_without_a_frame() -> None:
    stream = Stream()

    async def answer(request: Request) -> Response:
        return EventStream(await await_first_frame(request, stream.late(), seconds=0.1), ping_seconds=0.1)

    async with (
        serving(answer) as port,
        httpx.AsyncClient() as client,
        client.stream("GET", f"http://127.0.0.1:{port}/api/stream") as response,
    ):
        text = response.aiter_text()
        assert await anext(text) == ": ping\n\n"
        stream.go.set()
        assert [piece async for piece in text][-1].endswith("data: 1\n\n")


async def test_a_failure_before_the_first_frame_has_its_status() -> None:
    async def answer(request: Request) -> Response:
        return EventStream(await await_first_frame(request, Stream().failing()), ping_seconds=5)

    async with serving(answer) as port, httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{port}/api/stream")
    assert (response.status_code, response.json()["error"]["message"]) == (429, "Wait a little.")


async def test_who_leaves_while_headers_are_held_is_noticed() -> None:
    stream = Stream()

    async def answer(request: Request) -> Response:
        try:
            return EventStream(await await_first_frame(request, stream.late()), ping_seconds=5)
        except ClientGone:
            stream.left.set()
            return Response()

    async with serving(answer) as port:
        (await unread_connection(port)).close()
        async with asyncio.timeout(30):
            await stream.left.wait()
            await stream.closed.wait()
