"""Chainlit's socket events that Longhaul extends. The framework offers no callback for them; the handlers' registry of
python-socketio is public."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from chainlit.server import sio
from chainlit.session import WebsocketSession
from engineio.packet import MESSAGE, Packet

from jobs.encoding import encode

EVENT = 2
"""Socket.IO's type of packet; one in the default namespace begins with it, and its arguments follow as JSON."""
Handler = Callable[..., Awaitable[Any]]

PING_SECONDS = 4
"""A connection that went half-open is noticed within twice this (Chainlit's default: 41 s); then the page waits up to
1.5 s before it connects again."""


def tune(*, message_bytes: int) -> None:
    """Notice dead connections soon; take messages up to the limit (a longer one would cut the connection silently)."""
    sio.eio.ping_interval = sio.eio.ping_timeout = PING_SECONDS
    sio.eio.max_http_buffer_size = 2 * message_bytes + 65_536  # what JSON escapes may add


def send(session: WebsocketSession, event: str, data: Any) -> None:
    """What `session.emit` does for one page, in a tenth of the time: into its socket's queue, behind what is there.

    Nothing, while the page is not connected. Whether it still is, engine.io finds out by itself, in a task of its own:
    its `send` would, and would close the session in ours.
    """
    socket = sio.eio.sockets.get(sio.manager.eio_sid_from_sid(session.socket_id, "/"))
    if socket is not None and not socket.closed:
        socket.queue.put_nowait(Packet(MESSAGE, f"{EVENT}{encode([event, data]).decode()}"))


def after_connect(shown: Callable[[WebsocketSession], Awaitable[None]]) -> None:
    """Call `shown` when a page is connected: first, again after a blip, resumed, or after a restart.

    It runs after Chainlit's own handler, which hides Stop and sends a resumed thread.
    """
    original: Handler = sio.handlers["/"]["connection_successful"]

    async def connection_successful(sid: str) -> None:
        await original(sid)
        session = WebsocketSession.get(sid)
        if session is not None:
            await shown(session)

    sio.on("connection_successful", connection_successful)


def before_message(accept: Callable[[WebsocketSession, Any], Awaitable[bool]]) -> None:
    """Ask `accept` whether a message may become a turn, before Chainlit drops what it does not know of it."""
    original: Handler = sio.handlers["/"]["client_message"]

    async def client_message(sid: str, payload: Any) -> None:
        session = WebsocketSession.get(sid)
        if session is not None and await accept(session, payload):
            await original(sid, payload)

    sio.on("client_message", client_message)


def on_stop(stop: Callable[[WebsocketSession], Awaitable[None]]) -> None:
    """Stop is a wish about the jobs: Chainlit's own handler would cancel a task that has long ended, and say so."""

    async def handler(sid: str) -> None:
        session = WebsocketSession.get(sid)
        if session is not None:
            await stop(session)

    sio.on("stop", handler)


def refuse_edits() -> None:
    """A turn is a job, and what a job was asked never changes."""

    async def edit_message(sid: str, payload: Any) -> None:  # noqa: ARG001  # the event's own signature
        return

    sio.on("edit_message", edit_message)
