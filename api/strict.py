"""Reads JSON bodies strictly: refuses values that the engine could not store and return unchanged."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.access import admitted
from api.errors import ApiError

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""An escaped NUL in JSON: after an odd number of backslashes. After an even number, it is plain text."""

SEPARATORS = (b",", b"[", b"{")
MAX_VALUES = 500_000
"""Parsing this many blocks all requests for about 0.05 s. Commas in strings count too: the count precedes parsing."""

MULTIPART = "multipart/form-data"


class StrictRequest(Request):
    """A request whose JSON was parsed strictly in advance: without NaN, lone surrogates and extreme nesting."""

    parsed: Any = None

    async def json(self) -> Any:
        return self.parsed


class StrictRoute(APIRoute):
    """For `APIRouter(route_class=StrictRoute)`. Raises `ApiError` 400 for invalid JSON, 415 for another type."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_json = self.body_field is not None

        async def strict(request: Request) -> Response:
            whole = StrictRequest(request.scope, request.receive)
            await admitted(whole)  # an unknown caller's body is never read
            if takes_json and not content_type(request).startswith(MULTIPART):
                whole.parsed = await read_json(whole)
            return await handle(whole)

        return strict


async def read_json(request: Request) -> Any:
    """Returns the parsed body, or None when it is empty. Raises `ApiError` 415 for another content type."""
    body = await request.body()
    if not body:
        return None
    if content_type(request) not in {"application/json", "text/json"}:
        raise ApiError(415, "unsupported_media_type", "Send JSON, with the header Content-Type: application/json.")
    return parse(body)


def parse(text: bytes | str) -> Any:
    """Raises `ApiError` 400 for invalid JSON, 413 for too many values."""
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if sum(map(body.count, SEPARATORS)) > MAX_VALUES:
        raise ApiError(413, "too_large", f"The body has more than {MAX_VALUES:,} values.")
    try:
        value = _loads(body)
        again = orjson.dumps(value)
    except orjson.JSONDecodeError:
        raise ApiError(400, "invalid_json", "The body is not valid JSON in UTF-8.") from None
    except orjson.JSONEncodeError:
        raise ApiError(400, "invalid_json", "The body is nested too deeply.") from None
    if b"\\u0000" in again and NUL.search(again):
        raise ApiError(400, "invalid_json", "The body contains a NUL character; remove it.")
    return value


def _loads(body: bytes) -> Any:
    """Parses with garbage collection off: collections take most of the time and find nothing to free."""
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        gc.enable()


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
