"""Registers the chat with Chainlit: its callbacks, its socket events, its routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import chainlit as cl
from chainlit.config import config
from chainlit.server import app
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from accounts import BodyLimit, RequestGuard, UsersFile
from handlers import sockets
from handlers.actions import CHANGE, RETRY, SUBMIT
from handlers.artifacts import artifact_routes
from handlers.caching import KeepAssets
from handlers.callers import KnownCallers, Logins
from handlers.chat import Chat
from handlers.data_layer import DataLayer
from handlers.gate import Gate
from handlers.login import install_logins
from handlers.privacy import OwnPages
from handlers.starters import STARTERS
from handlers.uploads import UPLOADS, upload_routes
from jobs import JobClient
from services.web import FileStore


class ChatSlot:
    """Holds the chat while it is open. Chainlit's callbacks are registered before anything may be opened."""

    def __init__(self) -> None:
        self.current: Chat | None = None

    @property
    def chat(self) -> Chat:
        assert self.current is not None, "the chat is not open"
        return self.current

    def files(self) -> FileStore:
        return self.chat.files

    def jobs(self) -> JobClient:
        return self.chat.jobs


def install_chat(
    *,
    message_bytes: int,
    upload_mb: int,
    allowed_hosts: Sequence[str],
    allowed_origins: Sequence[str],
    frame_ancestors: str,
    users: UsersFile | None = None,
    oauth: bool = False,
    anonymous: bool = False,
    api_only: bool = False,
) -> ChatSlot:
    """Register once, at import; the caller opens the chat into the slot when the server starts.

    With neither `users` nor `oauth` everybody at this machine is logged in automatically, as the one user `local`;
    everybody anywhere if `anonymous`, and nobody if `api_only`.
    """
    slot, logins = ChatSlot(), Logins(users=users, oauth=oauth)
    _register_callbacks(slot)
    _register_socket_events(slot, message_bytes)
    app.add_middleware(KeepAssets)
    app.add_middleware(OwnPages, frame_ancestors=frame_ancestors)
    put_first(install_logins(logins))
    app.add_middleware(KnownCallers, logins=logins)
    upload_bytes = upload_mb * 1_000_000
    form_bytes = 1_000_000  # allowance for the form's fields and boundaries
    app.add_middleware(BodyLimit, limit_bytes=message_bytes, uploads=(UPLOADS,), upload_bytes=upload_bytes + form_bytes)
    if logins.automatic and not anonymous:
        app.add_middleware(Gate, closed=api_only)
    app.add_middleware(RequestGuard, allowed_hosts=allowed_hosts, allowed_origins=allowed_origins)
    if config.features.spontaneous_file_upload is not None:
        config.features.spontaneous_file_upload.max_size_mb = upload_mb  # the page checks this before it uploads
    app.add_exception_handler(ClientDisconnect, _unheard)
    put_first(upload_routes(slot.files, limit_bytes=upload_bytes))
    put_first(artifact_routes(slot.jobs, slot.files))
    return slot


def _unheard(_: Request, __: Exception) -> Response:
    """The client disconnected while sending. This is not an error of the server."""
    return Response(status_code=499)


def put_first(routes: Sequence[BaseRoute]) -> None:
    """Adds routes before Chainlit's, whose last one answers every path with the page."""
    app.router.routes[:0] = routes


def _register_callbacks(slot: ChatSlot) -> None:
    @cl.on_message
    async def on_message(message: cl.Message) -> None:
        await slot.chat.on_message(message)

    @cl.on_chat_resume
    async def on_chat_resume(thread: dict[str, Any]) -> None:
        await slot.chat.on_resume(thread)

    @cl.on_chat_end
    async def on_chat_end() -> None:  # Chainlit calls it whenever a socket closes
        await slot.chat.on_disconnected(cl.context.session)

    @cl.action_callback(RETRY)
    async def on_retry(action: cl.Action) -> None:
        await slot.chat.on_retry(action)

    @cl.action_callback(CHANGE)
    async def on_change(action: cl.Action) -> None:
        await slot.chat.on_change(action)

    @cl.action_callback(SUBMIT)
    async def on_submit(action: cl.Action) -> dict[str, Any]:
        return await slot.chat.on_submit(action)

    @cl.data_layer
    def data_layer() -> DataLayer:
        return slot.chat.data_layer

    @cl.set_starters
    async def starters() -> list[cl.Starter]:
        return [cl.Starter(label=one.label, message=one.message) for one in STARTERS if one.path.is_file()]


def _register_socket_events(slot: ChatSlot, message_bytes: int) -> None:
    sockets.tune(message_bytes=message_bytes)
    sockets.after_connect(lambda session: slot.chat.on_connected(session))
    sockets.before_message(lambda session, payload: slot.chat.accept(session, payload))
    sockets.on_stop(lambda session: slot.chat.on_stop(session))
    sockets.refuse_edits()
