"""The page's code: each file is compressed once, and browsers keep it."""

from __future__ import annotations

import asyncio
import gzip
from mimetypes import guess_type
from pathlib import Path

from chainlit.server import build_dir
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASSETS = "/assets/"
IMMUTABLE = (b"cache-control", b"public, max-age=31536000, immutable")
PARTIAL = ("range", "if-none-match", "if-modified-since")


class KeepAssets:
    """ASGI middleware. Names under `/assets` contain a hash of the content, so the files never change.

    Chainlit compresses each file again for each request, on the event loop: all streams stood still for 0.3 s whenever
    a user opened the page for the first time.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._files = {f"{ASSETS}{file.name}": file for file in Path(build_dir, "assets").iterdir()}
        self._compressed: dict[str, asyncio.Task[Response]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(ASSETS):
            await self._app(scope, receive, send)
        elif scope["path"] in self._files and _takes_gzip(scope):
            response = await asyncio.shield(self._response(scope["path"]))  # others wait for the same one
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, _kept(send))

    def _response(self, path: str) -> asyncio.Task[Response]:
        known = self._compressed.get(path)
        if known is None:
            known = asyncio.create_task(asyncio.to_thread(_compressed, self._files[path]))
            self._compressed[path] = known
        return known


def _takes_gzip(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    whole = scope["method"] == "GET" and not any(name in headers for name in PARTIAL)
    return whole and "gzip" in headers.get("accept-encoding", "")


def _compressed(file: Path) -> Response:
    response = Response(gzip.compress(file.read_bytes()), media_type=guess_type(file.name)[0])
    response.raw_headers += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"), IMMUTABLE]
    return response


def _kept(send: Send) -> Send:
    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            message["headers"] = [*message["headers"], IMMUTABLE]
        await send(message)

    return send_with_header
