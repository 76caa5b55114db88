"""The outermost layer of the web process: what is the API's goes to the API, all else to the chat."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

PLACES = frozenset({"/api", "/v1", "/chat-stream", "/deep-chat", "/healthz", "/readyz", "/metrics"})
FOLDERS = ("/api/", "/v1/", "/deep-chat/")
ABORT = "longhaul.abort"


class Doors:
    """ASGI application. The chat's layers (cookies, compression, pages) cost the API nothing."""

    def __init__(self, *, api: ASGIApp, chat: ASGIApp) -> None:
        self._api = api
        self._chat = chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_api(scope["path"]):
            scope[ABORT] = _aborting(send)
            await self._api(scope, receive, send)
        else:
            await self._chat(scope, receive, send)


def is_api(path: str) -> bool:
    return path in PLACES or path.startswith(FOLDERS)


async def abort(scope: Scope, receive: Receive) -> None:
    """Cut the connection of a client that reads nothing: the server would wait for it to take the rest.

    Returns when the server knows that it is cut, so that it does not log an answer without an end.
    """
    cut: Callable[[], None] | None = scope.get(ABORT)
    if cut is not None:
        cut()
        while (await receive())["type"] != "http.disconnect":
            pass


def _aborting(send: Send) -> Callable[[], None] | None:
    """uvicorn's `send` belongs to the object that has the connection; another server's may not."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    abort: Callable[[], None] | None = getattr(transport, "abort", None)
    return abort
