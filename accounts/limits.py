"""The limit on the size of request bodies."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from accounts.guard import App, Receive, Scope, Send, Words, plain_words, refuse

TOO_LARGE = 413


class BodyLimit:
    """ASGI middleware that refuses bodies above a limit: at once if the request states its size, else while reading.

    Uploads have a separate limit.
    """

    def __init__(
        self, app: App, *, limit_bytes: int, uploads: Collection[str], upload_bytes: int, words: Words | None = None
    ) -> None:
        self._app = app
        self._words = words or plain_words
        self._limit_bytes = limit_bytes
        self._uploads = uploads
        self._upload_bytes = upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._upload_bytes if scope["path"] in self._uploads else self._limit_bytes
        if _announced(scope) > limit:
            sentence = f"The request is larger than {limit // 1_000_000} MB."
            await refuse(scope, send, TOO_LARGE, "too_large", sentence, words=self._words)
            return
        await self._app(scope, _bounded(receive, limit), send)


def _announced(scope: Scope) -> int:
    """Returns the body's size as stated by the request; 0 if it states none."""
    value = dict(scope["headers"]).get(b"content-length", b"0")
    return int(value) if value.isdigit() else 0


def _bounded(receive: Receive, limit: int) -> Receive:
    """Bounds a body of unstated size: reading past the limit raises `HTTPException`."""
    received = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(TOO_LARGE, f"The request is larger than {limit // 1_000_000} MB.")
        return message

    return bounded
