"""Server-Sent Events for every API: heartbeats, a limit for slow readers, a clean end, and detection of disconnects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import AsyncGeneratorType
from typing import Any, cast

from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from api.api_or_chat import abort
from background import cancel_and_wait
from jobs.encoding import encode

SLOW_SECONDS = 30.0
"""A client that reads nothing for this long is disconnected; it may resume."""
FIRST_FRAME_SECONDS = 3.0
"""How long the headers wait for the first frame, so that an early failure gets its HTTP status."""
SHUTDOWN_SECONDS = 1.0
"""How long streams may take to end when the server drains."""
ADMITTED_SECONDS = 1.0
"""How long a stream may continue before it checks its caller's access again."""
PING_SHARE = 0.8
"""Share of the promised heartbeat interval, so that a proxy with the same timeout does not cut the stream."""
PING = b": ping\n\n"
BARE_PING = b": ping\n"
"""For OpenAI's Python SDK, which treats a comment that ends with a blank line as an event with empty data."""
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

Frames = AsyncGenerator[bytes, None]
OnLeave = Callable[[], Awaitable[object]]


class EventStream(EventSourceResponse):
    """Each frame holds whole events. `on_leave` runs when the client disconnects early, not when the server stops."""

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
            ping=ping_seconds * PING_SHARE,
            ping_message_factory=lambda: ping,  # type: ignore[arg-type, return-value]  # bytes pass as they are
            client_close_handler_callable=self._on_client_close,
            # The frames end on their own when the server drains, given this time.
            shutdown_grace_period=SHUTDOWN_SECONDS,
        )
        self._frames = frames
        self._on_leave = on_leave
        self._slow_seconds = slow_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with _while_read(send, self._slow_seconds) as send_in_time:
                await super().__call__(scope, receive, _while_admitted(scope, send_in_time))
        except NotAdmittedAnyMore:
            await self._report_leaving()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except SendTimeoutError:
            await self._report_leaving()
            await abort(scope, receive)
        finally:
            await self._frames.aclose()

    async def _send_with_timeout(self, send: Send, message: Message) -> None:
        """Sends without the library's timer for each frame: `_while_read` watches all sends at less cost."""
        await send(message)

    async def _on_client_close(self, _: object) -> None:
        frames = cast(AsyncGeneratorType[bytes, None], self._frames)
        at_its_end = frames.ag_frame is None  # the callback also runs after a normal end
        if not at_its_end:
            await self._report_leaving()

    async def _report_leaving(self) -> None:
        if self._on_leave is not None:
            await asyncio.shield(asyncio.ensure_future(self._on_leave()))


@asynccontextmanager
async def _while_read(send: Send, slow_seconds: float) -> AsyncIterator[Send]:
    """Yields a `send` whose calls one timer watches. Raises `SendTimeoutError` when one of them takes too long."""
    loop = asyncio.get_running_loop()
    sending_since: float | None = None
    timer: asyncio.TimerHandle

    async def watched(message: Message) -> None:
        nonlocal sending_since
        sending_since = loop.time()
        try:
            await send(message)
        finally:
            sending_since = None

    def look() -> None:
        nonlocal timer
        end = (sending_since or loop.time()) + slow_seconds
        if end <= loop.time():
            limit.reschedule(end)
        else:
            timer = loop.call_at(end, look)

    limit = asyncio.timeout(None)
    timer = loop.call_later(slow_seconds, look)
    try:
        async with limit:
            yield watched
    except TimeoutError:
        if limit.expired():
            raise SendTimeoutError from None
        raise  # an error of the frames
    finally:
        timer.cancel()


class NotAdmittedAnyMore(Exception):
    """The key of a stream's caller was revoked or has expired, or the login has ended."""


def _while_admitted(scope: Scope, send: Send) -> Send:
    """Checks the caller's access before a frame or a ping is sent, at most once a second."""
    still_admitted: Callable[[], Awaitable[bool]] | None = scope.get("state", {}).get("still_admitted")
    if still_admitted is None:
        return send
    asked_at = time.monotonic()

    async def guarded(message: Message) -> None:
        nonlocal asked_at
        if message.get("more_body") and time.monotonic() - asked_at >= ADMITTED_SECONDS:
            asked_at = time.monotonic()
            if not await still_admitted():
                raise NotAdmittedAnyMore
        await send(message)

    return guarded


class ClientGone(Exception):
    """The client has disconnected. Left uncaught, it becomes a status that no client reads (api/errors.py)."""


async def await_first_frame(request: Request, frames: Frames, *, seconds: float | None = FIRST_FRAME_SECONDS) -> Frames:
    """Returns all the frames once the first is available or the time is over; `seconds` None waits without limit.

    Raises the error that the frames raise before their first, and `ClientGone` when the client disconnects.
    """
    first = asyncio.ensure_future(anext(frames, None))
    try:
        await wait_while_connected(request, first, seconds=seconds)
    except BaseException:
        await cancel_and_wait(first)
        await frames.aclose()
        raise
    return _continue(first, frames)


async def wait_while_connected(request: Request, task: asyncio.Future[Any], *, seconds: float | None = None) -> None:
    """Returns when the task is done or the time is over. Raises the task's error, or `ClientGone`."""
    leaving = asyncio.ensure_future(wait_for_disconnect(request))
    try:
        await asyncio.wait({task, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(leaving)
    if task.done():
        task.result()
    elif not leaving.cancelled():
        raise ClientGone


async def wait_for_disconnect(request: Request) -> None:
    """Returns when the client has disconnected. Call it only after the body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _continue(first: asyncio.Future[bytes | None], frames: Frames) -> Frames:
    try:
        frame = await first
        while frame is not None:
            yield frame
            frame = await anext(frames, None)
    finally:
        await cancel_and_wait(first)
        await frames.aclose()


def data_frame(value: Any) -> bytes:
    """Returns an event without a name, whose data is the value as JSON."""
    return b"data: " + encode(value) + b"\n\n"
