"""The outermost layer of the web process: sends API requests to the API and all others to the chat."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

import audit
from accounts import keep_to_https

PATHS = frozenset({"/api", "/v1", "/mcp", "/chat-stream", "/deep-chat", "/healthz", "/readyz", "/metrics"})
PREFIXES = ("/api/", "/v1/", "/deep-chat/")
ABORT = "longhaul.abort"


class ApiOrChat:
    """ASGI application. API requests skip the chat's middleware (cookies, compression, pages)."""

    def __init__(self, *, api: ASGIApp, chat: ASGIApp) -> None:
        self._api = api
        self._chat = chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if client := scope.get("client"):
            audit.ADDRESS.set(str(client[0]))
        if scope["type"] in {"http", "websocket"}:
            scope[ABORT] = _aborting(send)  # inner layers do not see the server's own `send`
        if scope["type"] == "http" and is_api(scope["path"]):
            await self._api(scope, receive, keep_to_https(scope, send))
        else:
            await self._chat(scope, receive, keep_to_https(scope, send))


def is_api(path: str) -> bool:
    return path in PATHS or path.startswith(PREFIXES)


async def abort(scope: Scope, receive: Receive) -> None:
    """Cuts the connection of a client that does not read; otherwise the server would wait until it reads the rest.

    Returns once the server has noticed the cut, so that it does not log an incomplete response.
    """
    cut: Callable[[], None] | None = scope.get(ABORT)
    if cut is not None:
        cut()
        while (await receive())["type"] != "http.disconnect":
            pass


def _aborting(send: Send) -> Callable[[], None] | None:
    """Returns the transport's `abort`, which uvicorn exposes through `send`; None under a server that does not."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    abort: Callable[[], None] | None = getattr(transport, "abort", None)
    return abort
