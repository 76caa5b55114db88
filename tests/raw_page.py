"""A page's socket without a page: it reads only when it is told to, and sends what it is told to."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect


class RawPage:
    """Messages of Engine.IO and Socket.IO begin with digits that name their type: `40` connects, `42` is an event."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def stop_reading(self) -> None:
        self._socket.transport.pause_reading()

    async def emit(self, event: str) -> None:
        await self._socket.send(f"42{json.dumps([event])}")

    async def answer_ping(self) -> None:
        """Answers although it has not read the ping, so as to pass for alive."""
        await self._socket.send("3")

    async def event(self, name: str) -> str:
        """Returns the next such event, as it came."""
        async for message in self._socket:
            assert isinstance(message, str)
            if message.startswith(f'42["{name}"'):
                return message
        raise AssertionError(f"the socket was closed before {name}")

    async def closed(self) -> None:
        await self._socket.wait_closed()


@asynccontextmanager
async def raw_page(
    url: str, *, path: str = "/ws/socket.io/", cookie: str = "", thread_id: str = ""
) -> AsyncIterator[RawPage]:
    """Without compression, which would make a long run of the same letters short."""
    socket = await connect(
        f"{url.replace('http', 'ws', 1)}{path}?EIO=4&transport=websocket",
        origin=url,  # type: ignore[arg-type]  # a NewType of str
        additional_headers={"Cookie": cookie},
        compression=None,
        max_size=None,
        max_queue=1,
        ping_interval=None,
        close_timeout=0.1,
        proxy=None,
    )
    try:
        await socket.recv()
        session = {"sessionId": str(uuid.uuid4()), "clientType": "webapp", "threadId": thread_id, "userEnv": "{}"}
        await socket.send(f"40{json.dumps(session)}")
        await socket.recv()
        yield RawPage(socket)
    finally:
        socket.transport.abort()
