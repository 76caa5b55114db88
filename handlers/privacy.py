"""Keeps the page from calling other hosts, which could otherwise see what users read."""

from __future__ import annotations

import re
from functools import cache

from chainlit import server
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accounts import NO_SNIFFING, page_headers

CUSTOM_ELEMENTS = "'unsafe-eval'"
"""Required because Chainlit compiles the code of custom elements in the page."""

_FOREIGN_LINK = re.compile(r'<link\b[^>]*\bhref="https?:[^>]*>\s*')

template = server.get_html_template


@cache
def page(root_path: str = "") -> str:
    """Returns Chainlit's page without its links to public hosts: fonts, and the styles of formulas, which are off."""
    return _FOREIGN_LINK.sub("", template(root_path))


class OwnPages:
    """ASGI middleware: lets pages load from this server only. Replaces Chainlit's page template."""

    def __init__(self, app: ASGIApp, *, frame_ancestors: str) -> None:
        self._app = app
        self._frame_ancestors = frame_ancestors
        server.get_html_template = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(message)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _add_headers(self, message: Message) -> None:
        headers = {name.lower(): value for name, value in message["headers"]}
        is_page = headers.get(b"content-type", b"").startswith(b"text/html")
        added = self._page_headers() if is_page else dict([NO_SNIFFING])
        new = [(name.lower().encode(), value.encode()) for name, value in added.items()]
        message["headers"] = [*message["headers"], *(one for one in new if one[0] not in headers)]

    def _page_headers(self) -> dict[str, str]:
        return _headers(self._frame_ancestors)


@cache
def _headers(frame_ancestors: str) -> dict[str, str]:
    return page_headers(page(), frame_ancestors=frame_ancestors, scripts=CUSTOM_ELEMENTS)
