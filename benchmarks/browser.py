"""A browser's side of a chat without the browser, down to the messages on its web socket."""

from __future__ import annotations

import json
import time
import uuid
from typing import Self, cast

import httpx
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.endpoint import TICKS_PER_SECOND, WORD, now_ticks

# Messages of Engine.IO and Socket.IO begin with one or two digits that name their type.
OPENED, PING, PONG, CONNECT, CONNECTED, EVENT = "0", "2", "3", "40", "40", "42"


async def visit(url: str) -> str:
    """Load the page. Returns the `Cookie` header that a browser would send from now on."""
    async with httpx.AsyncClient() as http:
        (await http.get(url)).raise_for_status()
        return "; ".join(f"{name}={value}" for name, value in http.cookies.items())


class Counting(ClientConnection):
    """Counts the bytes that it receives: of the handshake, and of messages before they are unpacked."""

    received_bytes = 0

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        super().data_received(data)


class BrowserSession:
    """`async with BrowserSession(...)`: one open page, which asks once and records when each word arrives."""

    def __init__(self, url: str, cookie: str = "", thread_id: str = "") -> None:
        """With a `thread_id`, the page is a link into this thread."""
        self._url = url
        self._cookie = cookie
        self._thread_id = thread_id
        self._socket: Counting | None = None
        self._asked_at = 0.0
        self.first_token_seconds: float | None = None
        """Seconds from the message to the first word."""
        self.delays: list[float] = []
        """Seconds from the endpoint to here, once for each word so far, in order."""

    async def __aenter__(self) -> Self:
        opened = await connect(
            f"{self._url.replace('http', 'ws', 1)}/ws/socket.io/?EIO=4&transport=websocket",
            create_connection=Counting,
            origin=self._url,  # type: ignore[arg-type]  # a NewType of str
            additional_headers={"Cookie": self._cookie} if self._cookie else None,
            max_size=None,
            ping_interval=None,
            proxy=None,
        )
        self._socket = cast(Counting, opened)
        await self._expect(OPENED)
        session = {"clientType": "webapp", "sessionId": str(uuid.uuid4()), "threadId": self._thread_id, "userEnv": "{}"}
        await self._socket.send(CONNECT + json.dumps(session))
        await self._expect(CONNECTED)
        await self._emit("connection_successful")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()

    @property
    def received_bytes(self) -> int:
        """Bytes received since the page opened its socket."""
        assert self._socket is not None
        return self._socket.received_bytes

    async def ask(self, text: str) -> None:
        message = {
            "id": str(uuid.uuid4()),
            "threadId": "",
            "name": "user",
            "type": "user_message",
            "output": text,
            "createdAt": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        }
        self._asked_at = time.monotonic()
        await self._emit("client_message", {"message": message, "fileReferences": []})

    async def receive(self, tokens: int) -> None:
        """Returns when so many words have come, in any events. Waits without end for a missing word."""
        assert self._socket is not None
        while len(self.delays) < tokens:
            self.take(await self.next_frame())

    def take(self, frame: str) -> None:
        """Record the new words of a message in order; events may repeat the text so far."""
        arrived = now_ticks()
        for index, sent in WORD.findall(frame):
            if int(index) == len(self.delays):
                self.delays.append((arrived - int(sent)) / TICKS_PER_SECOND)
                if self.first_token_seconds is None:
                    self.first_token_seconds = time.monotonic() - self._asked_at

    async def next_frame(self) -> str:
        """Returns the next text message that is not a ping."""
        assert self._socket is not None
        while True:
            frame = await self._socket.recv(decode=True)
            if frame != PING:
                return str(frame)
            await self._socket.send(PONG)

    async def _expect(self, kind: str) -> None:
        frame = await self.next_frame()
        if not frame.startswith(kind):
            raise RuntimeError(f"{self._url} answered {frame[:200]!r} where a session should begin")

    async def _emit(self, *event: object) -> None:
        assert self._socket is not None
        await self._socket.send(EVENT + json.dumps(event))
