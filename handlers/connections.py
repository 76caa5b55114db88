"""The connections of pages, each cut when its page reads nothing, or sends more than people do. A page that lives
connects again by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ABORT = "longhaul.abort"
BURST = 200.0
MESSAGES_PER_SECOND = 20.0
"""Limits for a page: a burst at once, then this many messages a second. A page in use sends less than one."""
CHARACTERS_PER_MESSAGE = 100_000
LONGEST = BURST / 4
"""A long message counts as several, up to this number, so that the longest allowed message may be sent."""
LINGER_SECONDS = 5.0
"""How long a connection that was closed may take to send what waits; one that is not read never would."""


class Allowance:
    """The remaining allowance of a page: a bucket that fills with time."""

    def __init__(self, now: float) -> None:
        self._left = BURST
        self._at = now

    def take(self, characters: int, now: float) -> bool:
        """Returns whether a message of this length may come."""
        self._left = min(BURST, self._left + (now - self._at) * MESSAGES_PER_SECOND)
        self._at = now
        cost = min(1 + characters / CHARACTERS_PER_MESSAGE, LONGEST)
        if cost > self._left:
            return False
        self._left -= cost
        return True


class Connection:
    """One web socket."""

    def __init__(self, abort: Callable[[], None] | None) -> None:
        self._abort_now = abort  # a mere close would wait until everything was sent, which a blind page prevents

    def cut(self, why: str) -> None:
        """End it at once; what waits to be sent is dropped."""
        logger.warning("page cut off", extra={"fields": {"why": why}})
        self._abort()

    def end_soon(self) -> None:
        """End it in a while, if it has not ended by itself."""
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._abort)

    def _abort(self) -> None:
        if self._abort_now is not None:
            self._abort_now()
            self._abort_now = None


current: ContextVar[Connection | None] = ContextVar("connection", default=None)
"""The web socket that the present task serves."""


class Connections:
    """ASGI middleware. Needs `longhaul.abort` in the scope (`api/api_or_chat.py`)."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(scope.get(ABORT))
        loop = asyncio.get_running_loop()
        allowance = Allowance(loop.time())

        async def receive_some() -> MutableMapping[str, Any]:
            message = await receive()
            data = message.get("text") or message.get("bytes") or ""
            if message["type"] == "websocket.receive" and not allowance.take(len(data), loop.time()):
                connection.cut("it sends too much")
                return {"type": "websocket.disconnect", "code": 1008}
            return message

        current.set(connection)
        try:
            await self._app(scope, receive_some, send)
        finally:
            connection.end_soon()
