"""Server-Sent Events as every door sends them: heartbeats, bounded readers, a clean end, and who leaves is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from types import AsyncGeneratorType
from typing import Any, cast

from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api.doors import abort
from jobs.encoding import encode

SLOW_SECONDS = 30.0
"""A reader that takes nothing for so long is dropped; it may resume."""
HELD_SECONDS = 3.0
"""How long an answer's headers wait for its first word, so that an early failure has its HTTP status."""
END_SECONDS = 1.0
EARLY = 0.8
"""Of the promised heartbeat: a proxy that waits just as long must not win by a millisecond."""
PING = b": ping\n\n"
BARE_PING = b": ping\n"
"""For OpenAI's Python SDK, which takes an event of nothing but a comment for one with empty data."""
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

Frames = AsyncGenerator[bytes, None]
OnLeave = Callable[[], Awaitable[object]]


class EventStream(EventSourceResponse):
    """`frames` are whole events. `on_leave` runs when the client goes before the end, not when the server does."""

    def __init__(
        self,
        frames: Frames,
        *,
        ping_seconds: float,
        ping: bytes = PING,
        on_leave: OnLeave | None = None,
        headers: Mapping[str, str] | None = None,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        super().__init__(
            frames,
            headers={**HEADERS, **(headers or {})},
            media_type="text/event-stream; charset=utf-8",
            ping=ping_seconds * EARLY,
            ping_message_factory=lambda: ping,  # type: ignore[arg-type, return-value]  # bytes pass as they are
            send_timeout=slow_seconds,
            client_close_handler_callable=self._left,
            # The frames end by themselves when the server drains: they only need to be let.
            shutdown_grace_period=END_SECONDS,
        )
        self._frames = frames
        self._on_leave = on_leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            await self._tell()
            await abort(scope, receive)
        finally:
            await self._frames.aclose()

    async def _left(self, _: object) -> None:
        frames = cast(AsyncGeneratorType[bytes, None], self._frames)
        at_its_end = frames.ag_frame is None  # the server tells of every end as if the client had gone
        if not at_its_end:
            await self._tell()

    async def _tell(self) -> None:
        if self._on_leave is not None:
            await asyncio.shield(asyncio.ensure_future(self._on_leave()))


class Left(Exception):
    """The client has gone. Whoever lets it through gives an answer that nobody reads (api/errors.py)."""


async def held(request: Request, frames: Frames, *, seconds: float | None = HELD_SECONDS) -> Frames:
    """The frames again, once the first is there or the time is over. Raises what they raise before their first.

    Raises `Left` when the client leaves meanwhile. `seconds` None: wait as long as it takes.
    """
    first = asyncio.ensure_future(anext(frames, None))
    try:
        await while_there(request, first, seconds=seconds)
    except BaseException:
        await _ended(first)
        await frames.aclose()
        raise
    return _resumed(first, frames)


async def while_there(request: Request, task: asyncio.Future[Any], *, seconds: float | None = None) -> None:
    """Returns when the task is done or the time over. Raises what the task raises, or `Left`."""
    leaving = asyncio.ensure_future(left(request))
    try:
        await asyncio.wait({task, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _ended(leaving)
    if task.done():
        task.result()
    elif not leaving.cancelled():
        raise Left


async def left(request: Request) -> None:
    """Returns when the client has gone. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _resumed(first: asyncio.Future[bytes | None], frames: Frames) -> Frames:
    try:
        frame = await first
        while frame is not None:
            yield frame
            frame = await anext(frames, None)
    finally:
        await _ended(first)
        await frames.aclose()


async def _ended(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def data_frame(value: Any) -> bytes:
    """An event without a name."""
    return b"data: " + encode(value) + b"\n\n"
