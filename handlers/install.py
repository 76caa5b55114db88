"""Registers the chat with Chainlit: its callbacks, its socket events, its routes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import chainlit as cl
from chainlit.config import config
from chainlit.server import app
from chainlit.session import WebsocketSession
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from accounts import BodyLimit, RequestGuard, UsersFile
from handlers import sockets
from handlers.actions import RETRY, SUBMIT
from handlers.answers import answer_route
from handlers.artifacts import artifact_routes
from handlers.caching import KeepAssets
from handlers.callers import KnownCallers, Logins
from handlers.chat import Chat
from handlers.connections import Connections
from handlers.data_layer import DataLayer
from handlers.gate import Gate
from handlers.jobs_page import jobs_route
from handlers.login import install_logins
from handlers.oauth import OAuthLogin, OAuthRules, entry_digest
from handlers.privacy import OwnPages
from handlers.uploads import UPLOADS, upload_routes
from jobs import StoreUnavailable
from services.lifecycle import Lifecycle, NotServing, Phase

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2
"""The wait that a caller is told while the server starts or ends."""


def install_chat(
    lifecycle: Lifecycle,
    *,
    message_bytes: int,
    upload_mb: int,
    allowed_hosts: Sequence[str],
    allowed_origins: Sequence[str],
    frame_ancestors: str,
    users: UsersFile | None = None,
    oauth: OAuthRules | None = None,
    session_days: float = 15,
    anonymous: bool = False,
    api_only: bool = False,
) -> None:
    """Register once, at import; what is registered asks the lifecycle for the chat, which is opened later.

    With neither `users` nor `oauth`, all callers at this machine are logged in automatically as the one user `local`;
    with `anonymous` callers from anywhere, and with `api_only` none.
    """
    logins = Logins(
        users=users,
        oauth=oauth is not None,
        oauth_entries=frozenset(map(entry_digest, oauth.allow)) if oauth else frozenset(),
        session_days=session_days,
    )
    _register_callbacks(lifecycle)
    _register_actions(lifecycle)
    _register_socket_events(lifecycle, message_bytes)
    app.add_middleware(Connections)
    app.add_middleware(KeepAssets)
    app.add_middleware(OwnPages, frame_ancestors=frame_ancestors)
    put_first(install_logins(logins, lifecycle, OAuthLogin(lifecycle, oauth) if oauth else None))
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
    app.add_exception_handler(NotServing, not_serving)
    app.add_exception_handler(StoreUnavailable, not_serving)
    put_first(upload_routes(lifecycle))
    put_first([*artifact_routes(lifecycle), answer_route(lifecycle), jobs_route(frame_ancestors)])


def install_lifespan(open: Callable[[], AbstractAsyncContextManager[None]], *, check: Callable[[], None]) -> None:
    """Register what Chainlit's server opens at its start and closes at its end, after a `check` of all that is
    registered by then."""
    if config.run.watch:
        # Chainlit would load app.py again into the process that serves, and end it.
        config.run.watch = False
        logger.warning("--watch is ignored; restart the server to load changed files, and its jobs continue")
    opened = AsyncExitStack()
    whole = app.router.lifespan_context

    @cl.on_app_startup
    async def start() -> None:
        await opened.enter_async_context(open())

    @cl.on_app_shutdown
    async def stop() -> None:
        await opened.aclose()

    @asynccontextmanager
    async def checked(served: ASGIApp) -> AsyncIterator[Any]:
        check()
        async with whole(served) as state:
            yield state

    app.router.lifespan_context = checked


def _unheard(_: Request, __: Exception) -> Response:
    """The client disconnected while sending. This is not an error of the server."""
    return Response(status_code=499)


def not_serving(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 503, headers={"Retry-After": str(RETRY_SECONDS)})


def put_first(routes: Sequence[BaseRoute]) -> None:
    """Adds routes before Chainlit's, whose last one answers every path with the page."""
    app.router.routes[:0] = routes


def _register_callbacks(lifecycle: Lifecycle) -> None:
    @cl.on_message
    async def on_message(message: cl.Message) -> None:
        await lifecycle.get(Chat).on_message(message)

    @cl.on_chat_resume
    async def on_chat_resume(thread: dict[str, Any]) -> None:
        await lifecycle.get(Chat).on_resume(thread)

    @cl.on_chat_end
    async def on_chat_end() -> None:  # Chainlit calls it at each end of a socket
        with contextlib.suppress(NotServing):  # every view is closed
            await lifecycle.get(Chat).on_disconnected(cl.context.session)

    @cl.data_layer
    def data_layer() -> DataLayer | None:
        if lifecycle.phase is Phase.CLOSED:  # Chainlit asks once more at its end, to close what it is given
            return None
        return lifecycle.get(Chat).data_layer

    @cl.set_starters
    async def starters() -> list[cl.Starter]:
        with contextlib.suppress(NotServing):
            return await lifecycle.get(Chat).starters()
        return []


def _register_actions(lifecycle: Lifecycle) -> None:
    @cl.action_callback(RETRY)
    async def on_retry(action: cl.Action) -> None:
        await lifecycle.get(Chat).on_retry(action)

    @cl.action_callback(SUBMIT)
    async def on_submit(action: cl.Action) -> dict[str, Any]:
        return await lifecycle.get(Chat).on_submit(action)


def _register_socket_events(lifecycle: Lifecycle, message_bytes: int) -> None:
    """A page that talks to a process which starts or ends connects again: nothing is lost, and nothing is logged."""

    async def connected(session: WebsocketSession) -> None:
        with contextlib.suppress(NotServing):
            await lifecycle.get(Chat).on_connected(session)

    async def accept(session: WebsocketSession, payload: Any) -> bool:
        with contextlib.suppress(NotServing):
            return await lifecycle.get(Chat).accept(session, payload)
        return False

    async def stop(session: WebsocketSession) -> None:
        with contextlib.suppress(NotServing):
            await lifecycle.get(Chat).on_stop(session)

    sockets.tune(message_bytes=message_bytes)
    sockets.cut_failed_connects()
    sockets.after_connect(connected)
    sockets.before_message(accept)
    sockets.on_stop(stop)
    sockets.refuse_edits()
