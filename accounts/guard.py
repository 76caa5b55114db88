"""Checks the `Host` and `Origin` headers of every request."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Words = Callable[[str, int, str, str], object]
"""Makes the JSON body of a refusal from the path, the status, the code and the message."""

MISDIRECTED = 421
FORBIDDEN = 403


class RequestGuard:
    """ASGI middleware that refuses a foreign `Host` (DNS rebinding) or `Origin` (another site's page).

    The rule covers websockets too, because browsers let other sites open them.
    """

    def __init__(
        self,
        app: App,
        *,
        allowed_hosts: Collection[str],
        allowed_origins: Collection[str] = (),
        words: Words | None = None,
    ) -> None:
        self._app = app
        self._words = words or plain_words
        self._hosts = {host.lower() for host in allowed_hosts}
        self._origins = {origin.lower().rstrip("/") for origin in allowed_origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refuse(scope, send, *refusal, words=self._words)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "").lower()
        if _without_port(host) not in self._hosts and "*" not in self._hosts:
            return MISDIRECTED, "misdirected_request", SENTENCE.format(_without_port(host)[:100])
        origin = headers.get("origin", "").lower()
        if origin and origin not in self._origins and _host_of(origin) != host:
            return FORBIDDEN, "foreign_origin", "Pages of that origin may not call this server."
        return None


SENTENCE = "This server does not answer to the host name {!r}. Its operator can add it to LONGHAUL_ALLOWED_HOSTS."


def _host_of(origin: str) -> str:
    """Returns the host and port of an origin; empty when the origin is not a valid address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def plain_words(_path: str, _status: int, code: str, message: str) -> object:
    return {"error": {"code": code, "message": message}}


async def refuse(
    scope: Scope,
    send: Send,
    status: int,
    code: str,
    message: str,
    *,
    words: Words,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Answers an HTTP request with the error; closes a websocket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps(words(scope["path"], status, code, message)).encode()
    stated = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": stated})
    await send({"type": "http.response.body", "body": body})
