"""Chainlit's socket events that Longhaul extends. Chainlit has no callbacks for them, but python-socketio's registry of
handlers is public."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from chainlit.chat_context import chat_contexts
from chainlit.server import sio
from chainlit.session import WebsocketSession
from engineio.packet import MESSAGE, Packet
from socketio import exceptions

from handlers.connections import current
from jobs.encoding import encode

EVENT = 2
"""Socket.IO's packet type. In the default namespace a packet is this number followed by its arguments as JSON."""
Handler = Callable[..., Awaitable[Any]]

PING_SECONDS = 4
"""A half-open connection is detected within twice this time (Chainlit's default: 41 s). The page then waits up to 1.5 s
before it reconnects."""


MAX_WAITING = 8_000_000
"""Characters that may wait for a page. The longest packet does not count: a long conversation is one packet."""


class PacketQueue(asyncio.Queue[Packet | None]):
    """A page's packets. engine.io waits for each one with `wait_for`, which wraps a coroutine in a task of its own, but
    takes a future as it is. That task is about a twentieth of the web process's work while answers stream.

    engine.io takes all packets at once and sends them one by one. It waits again when it has sent them: until then they
    count as waiting. A page for which too much waits is cut off.
    """

    def __init__(self) -> None:
        super().__init__()
        self._readers: deque[asyncio.Future[Packet | None]] = deque()
        self._connection = current.get()
        self._waiting = self._taken = self._longest = 0  # characters; those taken are among those that wait
        self._full = False

    def get(self) -> asyncio.Future[Packet | None]:  # type: ignore[override]  # awaited all the same
        self._waiting -= self._taken
        self._taken = 0
        if self.empty():
            self._longest = 0
        reader: asyncio.Future[Packet | None] = asyncio.get_running_loop().create_future()
        self._readers.append(reader)
        self._hand_out()
        return reader

    def put_nowait(self, item: Packet | None) -> None:
        if item is None and self._connection is not None:
            self._connection.end_soon()  # engine.io has given the page up, and waits until everything was sent
        if self._full and item is not None:
            return
        super().put_nowait(item)
        self._count(item)
        self._hand_out()

    def get_nowait(self) -> Packet | None:
        item = super().get_nowait()
        self._taken += _length(item)
        return item

    def _count(self, item: Packet | None) -> None:
        self._waiting += _length(item)
        self._longest = max(self._longest, _length(item))
        if self._waiting - self._longest > MAX_WAITING and not self._full:
            self._full = True  # later packets are dropped, except the end
            while not self.empty():
                super().get_nowait()
                self.task_done()
            if self._connection is not None:
                self._connection.cut("it does not read what it is sent")

    def _hand_out(self) -> None:
        while self._readers and not self.empty():
            reader = self._readers.popleft()
            if not reader.done():  # one that waited too long was cancelled
                reader.set_result(self.get_nowait())


def _length(packet: Packet | None) -> int:
    return 0 if packet is None or packet.data is None else len(packet.data)


def tune(*, message_bytes: int) -> None:
    """Detects dead connections early; accepts messages up to the limit (a longer one cuts the connection silently)."""
    sio.eio.create_queue = PacketQueue
    sio.eio.transports = ["websocket"]  # our pages do not poll, and polling would have no limits
    sio.eio.ping_interval = sio.eio.ping_timeout = PING_SECONDS
    sio.eio.max_http_buffer_size = 2 * message_bytes + 65_536  # allowance for JSON escapes


def _socket_of(session: WebsocketSession) -> Any:
    """Returns engine.io's socket of the session; None once it is gone."""
    return sio.eio.sockets.get(sio.manager.eio_sid_from_sid(session.socket_id, "/"))


def is_connected(session: WebsocketSession) -> bool:
    """Whether the page is connected and has not begun to disconnect."""
    socket = _socket_of(session)
    return socket is not None and not socket.closing and not socket.closed


def send(session: WebsocketSession, event: str, data: Any) -> None:
    """Does what `session.emit` does for one page, in a tenth of the time: appends to the socket's queue.

    Does nothing while the page is not connected. Unlike engine.io's `send`, it does not check for a lost connection,
    because that would close the session in our task; engine.io checks in its own.
    """
    socket = _socket_of(session)
    if socket is not None and not socket.closed:
        socket.queue.put_nowait(Packet(MESSAGE, f"{EVENT}{encode([event, data]).decode()}"))


def forget_texts(session: WebsocketSession) -> None:
    """Drops Chainlit's copy of the conversation, which nothing of ours reads and Chainlit never drops."""
    chat_contexts.pop(session.id, None)


def after_connect(shown: Callable[[WebsocketSession], Awaitable[None]]) -> None:
    """Calls `shown` when a page connects: first, after a short outage, resumed, or after a restart.

    It runs after Chainlit's own handler, which hides Stop and sends a resumed thread.
    """
    original: Handler = sio.handlers["/"]["connection_successful"]

    async def connection_successful(sid: str) -> None:
        await original(sid)
        session = WebsocketSession.get(sid)
        if session is not None:
            await shown(session)

    sio.on("connection_successful", _or_cut(connection_successful))


def cut_failed_connects() -> None:
    """Lets a page connect again when its session cannot be opened, for example while the database is away. Without an
    answer it would wait for ever."""
    sio.on("connect", _or_cut(sio.handlers["/"]["connect"]))


def _or_cut(handler: Handler) -> Handler:
    async def handle(*arguments: Any) -> Any:
        try:
            return await handler(*arguments)
        except exceptions.ConnectionRefusedError:
            raise
        except Exception as error:
            if (connection := current.get()) is None:
                raise
            connection.cut(f"its session cannot be opened ({type(error).__name__})")
            return False

    return handle


def before_message(accept: Callable[[WebsocketSession, Any], Awaitable[bool]]) -> None:
    """Asks `accept` whether a message may become a turn, before Chainlit drops the fields it does not know."""
    original: Handler = sio.handlers["/"]["client_message"]

    async def client_message(sid: str, payload: Any) -> None:
        session = WebsocketSession.get(sid)
        if session is not None and await accept(session, payload):
            await original(sid, payload)

    sio.on("client_message", client_message)


def on_stop(stop: Callable[[WebsocketSession], Awaitable[None]]) -> None:
    """Cancels jobs when the user presses Stop. Chainlit's own handler would cancel an ended task and announce it."""

    async def handler(sid: str) -> None:
        session = WebsocketSession.get(sid)
        if session is not None:
            await stop(session)

    sio.on("stop", handler)


def refuse_edits() -> None:
    """Ignores edited messages, because a job's request never changes."""

    async def edit_message(sid: str, payload: Any) -> None:  # noqa: ARG001  # the event's own signature
        return

    sio.on("edit_message", edit_message)
