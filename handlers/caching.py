"""Lets browsers keep the page's code: a reload then costs a few requests instead of megabytes to compress and send."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOR_EVER = (b"cache-control", b"public, max-age=31536000, immutable")


class KeepAssets:
    """ASGI middleware. What is under `/assets` has the hash of its content in its name, so it never changes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/assets/"):
            await self._app(scope, receive, send)
            return

        async def send_kept(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                message["headers"] = [*message["headers"], FOR_EVER]
            await send(message)

        await self._app(scope, receive, send_kept)
