"""Keeps the page from calling other hosts: who reads it where is nobody else's business, and it must work offline."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Chainlit's page asks a public CDN for the style of formulas, which are switched off here.
POLICY = (b"content-security-policy", b"style-src 'self' 'unsafe-inline'; font-src 'self' data:")


class OwnStyles:
    """ASGI middleware: styles and fonts of pages come from this server, or not at all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {name.lower(): value for name, value in message["headers"]}
                is_page = headers.get(b"content-type", b"").startswith(b"text/html")
                if is_page and POLICY[0] not in headers:
                    message["headers"] = [*message["headers"], POLICY]
            await send(message)

        await self._app(scope, receive, send_with_policy)
