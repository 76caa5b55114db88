"""An API client's side, down to the bytes: one request on one connection, at little cost for the load generator."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import cast
from urllib.parse import urlsplit

from benchmarks.endpoint import TICKS_PER_SECOND, now_ticks

WORD = re.compile(rb"\bw(\d+)@(\d+) ")
"""A word with the space after it, as a read may end within a word."""
MAX_WORD = 40
LAST_CHUNK = b"\r\n0\r\n\r\n"


class Refused(Exception):
    """The server's status is not 2xx."""


class Call(asyncio.Protocol):
    """Records when each word of the answer arrives, in any events, and all bytes.

    Times are of the monotonic clock, which all processes share.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self._over = asyncio.get_running_loop().create_future()
        self.sent_at = 0.0
        self.asked_at = 0.0
        """When the endpoint sent the first word, which is also when it was asked."""
        self.first_token_at = 0.0
        self.delays: list[float] = []
        """Seconds from the endpoint to here, once for each word so far, in order."""
        self.reads: list[tuple[float, bytes]] = []
        """The time and the bytes of each read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.sent_at = time.monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        arrived = now_ticks()
        self.reads.append((arrived / TICKS_PER_SECOND, data))
        self._take(self._rest + data, arrived)
        if data.endswith(LAST_CHUNK):  # of servers that leave the connection open
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the reader reports missing words
        self._finish()

    def leave(self) -> None:
        """Close the connection, as a client that has read enough."""
        self._transport.abort()

    async def end(self) -> bytes:
        """Returns the whole response with its head. Raises `Refused`."""
        try:
            await self._over
        finally:
            self._transport.abort()
        answer = self.text()
        if answer[9:10] != b"2":
            raise Refused(answer[-1000:].decode(errors="replace") or "nothing came")
        return answer

    def text(self) -> bytes:
        """Returns the bytes so far."""
        return b"".join(data for _, data in self.reads)

    def _take(self, data: bytes, arrived: float) -> None:
        behind = 0
        for word in WORD.finditer(data):
            behind = word.end()
            if int(word[1]) == len(self.delays):  # a result may repeat the text
                sent = int(word[2])
                self.delays.append((arrived - sent) / TICKS_PER_SECOND)
                if len(self.delays) == 1:
                    self.first_token_at, self.asked_at = arrived / TICKS_PER_SECOND, sent / TICKS_PER_SECOND
        self._rest = data[behind:][-MAX_WORD:]

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)


async def call(url: str, method: str, path: str, body: object = None) -> Call:
    """Connect to `url`, such as http://127.0.0.1:8000, and send the request."""
    address = urlsplit(url)
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    request = f"{head}\r\n".encode() + content
    loop = asyncio.get_running_loop()
    host, _, port = address.netloc.partition(":")
    _, made = await loop.create_connection(lambda: Call(request), host, int(port))
    return made


async def submit(url: str, task: str, **request: object) -> str:
    """Submits a job. Returns its id."""
    answer = await (await call(url, "POST", "/api/jobs", {"task": task, **request})).end()
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["id"])


async def follow(url: str, job: str) -> Call:
    return await call(url, "GET", f"/api/jobs/{job}/events")
