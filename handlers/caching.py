"""Lets browsers cache the page's code, so a reload costs a few requests instead of megabytes to compress and send."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

IMMUTABLE = (b"cache-control", b"public, max-age=31536000, immutable")


class KeepAssets:
    """ASGI middleware. Names under `/assets` contain a hash of the content, so the files never change."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/assets/"):
            await self._app(scope, receive, send)
            return

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                message["headers"] = [*message["headers"], IMMUTABLE]
            await send(message)

        await self._app(scope, receive, send_with_header)
