"""The limits on request bodies: their size, and what may be on its way at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from accounts.addresses import network_of
from accounts.guard import App, Receive, Scope, Send, Words, plain_words, refuse

TOO_LARGE, TOO_SLOW, BUSY = 413, 408, 503
MAX_ARRIVING_BYTES = 256_000_000
"""Of the bodies on their way from one network, which wait in memory until they are whole. Uploads go to the disk."""
STALLED_SECONDS = 30.0
"""A body of which nothing more comes for so long is given up."""
LEAST_BYTES_PER_SECOND = 10_000
"""A slower body is given up, too, but not before `STALLED_SECONDS`."""
TOO_MANY = "Too many requests are on their way from your address; wait for some of them."


class BodyLimit:
    """ASGI middleware that refuses bodies above a limit: at once if the request states its size, else while reading.

    A body that stops coming is refused as well, and so are further ones while too many are on their way from the same
    network. Uploads have a separate limit of their size.
    """

    def __init__(
        self, app: App, *, limit_bytes: int, uploads: Collection[str], upload_bytes: int, words: Words | None = None
    ) -> None:
        self._app = app
        self._words = words or plain_words
        self._limit_bytes = limit_bytes
        self._uploads = uploads
        self._upload_bytes = upload_bytes
        self._arriving: Counter[str] = Counter()
        """Bytes by network."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"] in self._uploads
        limit = self._upload_bytes if is_upload else self._limit_bytes
        size = _size(scope, unknown=limit)
        if size > limit:
            await refuse(scope, send, TOO_LARGE, "too_large", _too_large(limit), words=self._words)
            return
        network, held = network_of(scope), 0 if is_upload else size
        if self._arriving[network] + held > MAX_ARRIVING_BYTES:
            await refuse(scope, send, BUSY, "busy", TOO_MANY, words=self._words, headers=[(b"retry-after", b"1")])
            return
        self._arriving[network] += held
        body = _Body(receive, limit, end=lambda: self._leave(network, held))
        try:
            await self._app(scope, body.receive, send)
        finally:
            body.end()

    def _leave(self, network: str, held: int) -> None:
        self._arriving[network] -= held
        if not self._arriving[network]:
            del self._arriving[network]


class _Body:
    """A body on its way. Reading it raises `HTTPException` when it is too large or too slow."""

    def __init__(self, receive: Receive, limit: int, *, end: Callable[[], None]) -> None:
        self._receive = receive
        self._limit = limit
        self._end = end
        self._ended = False
        self._received = 0
        self._waited = 0.0

    async def receive(self) -> MutableMapping[str, Any]:
        if self._ended:
            return await self._receive()
        message = await self._next()
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            raise HTTPException(TOO_LARGE, _too_large(self._limit))
        if not message.get("more_body", False):
            self.end()
        return message

    async def _next(self) -> MutableMapping[str, Any]:
        """Only the wait for the client counts, not what the app does meanwhile."""
        begun = time.monotonic()
        left = STALLED_SECONDS + self._received / LEAST_BYTES_PER_SECOND - self._waited
        try:
            async with asyncio.timeout(min(STALLED_SECONDS, left)):
                return await self._receive()
        except TimeoutError:
            raise HTTPException(TOO_SLOW, "The request did not arrive in time.", {"Connection": "close"}) from None
        finally:
            self._waited += time.monotonic() - begun

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._end()


def _size(scope: Scope, *, unknown: int) -> int:
    """Returns the size of the body as the request states it; `unknown` if the request states none."""
    headers = dict(scope["headers"])
    value = headers.get(b"content-length", b"")
    return int(value) if value.isdigit() else unknown if b"transfer-encoding" in headers else 0


def _too_large(limit: int) -> str:
    return f"The request is larger than {limit // 1_000_000} MB."
