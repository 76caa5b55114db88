"""The ends of logins: by logging out, by a user's removal, by age. Closes the pages that are still open."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Self

from chainlit.auth import get_token_from_cookies
from chainlit.server import sio
from chainlit.session import WebsocketSession, ws_sessions_sid
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import cookie_parser

from background import cancel_and_wait, keep_running
from handlers import sockets
from handlers.callers import Logins, Token
from handlers.chat_store import ChatStore

ROUND_SECONDS = 1.0
"""How long a page may stay open after its login has ended."""
READ_SECONDS = 2.0
"""How long a login that ended in another web process may remain valid here."""
OVERLAP = 100
"""Rows of ended logins that each round reads again: of two transactions at once, the later number may come first."""
FORGET_SECONDS = 3600.0

logger = logging.getLogger(__name__)


class Sessions:
    """`async with Sessions(logins, store)`: reads the ended logins, then watches until it is closed.

    Without a login there is nothing to watch: every caller is `local` again at the next page.
    """

    def __init__(self, logins: Logins, store: ChatStore) -> None:
        self._logins = logins
        self._store = store
        self._last = 0
        self._unsaved: dict[str, float] = {}
        self._is_failing = False
        self._read_at = -READ_SECONDS
        self._forgot_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if not self._logins.automatic:
            await self._read()
            self._task = asyncio.create_task(keep_running(self._round, name="sessions"))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await cancel_and_wait(self._task)

    async def end(self, login: Token) -> None:
        """Ends the login everywhere, and closes its pages in this process at once."""
        if self._logins.automatic:
            return
        self._logins.ended[login.digest] = self._unsaved[login.digest] = login.expires_at
        await self._close_pages()
        await self._share()

    async def _round(self) -> None:
        await asyncio.sleep(ROUND_SECONDS)
        await self._close_pages()
        if time.monotonic() - self._read_at >= READ_SECONDS:
            await self._share()

    async def _share(self) -> None:
        """Exchanges ended logins with the other processes; tries again when the database fails."""
        try:
            await self._save()
            await self._read()
        except SQLAlchemyError:
            if not self._is_failing:
                logger.error("ended logins cannot be shared")  # noqa: TRY400  # the driver's text may hold an address
            self._is_failing = True
        else:
            self._is_failing = False

    async def _save(self) -> None:
        for digest, expires_at in tuple(self._unsaved.items()):
            await self._store.end_login(digest, expires_at)
            self._unsaved.pop(digest, None)

    async def _read(self) -> None:
        self._read_at = time.monotonic()
        await self._forget()
        for ended in await self._store.logins_ended_after(self._last - OVERLAP):
            self._logins.ended[ended.digest] = ended.expires_at
            self._last = max(self._last, ended.id)

    async def _forget(self) -> None:
        if self._forgot_at is not None and time.monotonic() - self._forgot_at < FORGET_SECONDS:
            return
        self._forgot_at, now = time.monotonic(), time.time()
        await self._store.forget_logins(now)
        for digest in [digest for digest, expires_at in self._logins.ended.items() if expires_at < now]:
            del self._logins.ended[digest]

    async def _close_pages(self) -> None:
        for session in _connected():
            if self._logins.user(_token_of(session)) is None:
                sockets.send(session, "reload", None)  # shows the login
                session.to_clear = True
                await sio.disconnect(session.socket_id)


def _connected() -> Iterable[WebsocketSession]:
    return [session for session in tuple(ws_sessions_sid.values()) if sio.manager.is_connected(session.socket_id, "/")]


def _token_of(session: WebsocketSession) -> str | None:
    """Returns the token with which the page connected last; a session keeps that of its first connection."""
    token = get_token_from_cookies(
        cookie_parser(str((sio.get_environ(session.socket_id) or {}).get("HTTP_COOKIE", "")))
    )
    return None if token is None else str(token)
