"""Limits the page to this machine when no login is set up and every visitor would be the user `local`."""

from __future__ import annotations

import html

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from accounts import is_local
from accounts.guard import FORBIDDEN, plain_words, refuse

CODE = "login_needed"
NO_PAGE = "This server serves its HTTP API only, until a login is set up with LONGHAUL_USERS_FILE or OAUTH_… variables."
NOT_HERE = (
    "Only the machine that serves this page may open it, and not through a proxy, until a login is set up with "
    "LONGHAUL_USERS_FILE or OAUTH_… variables."
)
PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Longhaul</title><p>{}</p></html>'
HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'"}


class Gate:
    """ASGI middleware. Admits callers from this machine, or no caller at all when `closed`."""

    def __init__(self, app: ASGIApp, *, closed: bool) -> None:
        self._app = app
        self._closed = closed
        self._sentence = NO_PAGE if closed else NOT_HERE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or (not self._closed and is_local(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and "text/html" in Headers(scope=scope).get("accept", ""):
            page = HTMLResponse(PAGE.format(html.escape(self._sentence)), FORBIDDEN, HEADERS)
            await page(scope, receive, send)
        else:
            await refuse(scope, send, FORBIDDEN, CODE, self._sentence, words=plain_words)
