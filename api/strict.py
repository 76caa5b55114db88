"""Reads JSON bodies strictly: what the engine could not store and give back is refused at the door."""

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
"""As JSON writes it; behind an odd number of backslashes it is one, behind an even number it is text about one."""

MARKS = (b",", b"[", b"{")
MOST_VALUES = 500_000
"""Parsing them takes about 0.05 s, for everybody. Commas in texts count too, as nothing is parsed to know."""

MULTIPART = "multipart/form-data"


class StrictRequest(Request):
    """Its JSON is parsed before anything else sees it: NaN, half characters and endless nesting are no JSON here."""

    parsed: Any = None

    async def json(self) -> Any:
        return self.parsed


class StrictRoute(APIRoute):
    """For `APIRouter(route_class=StrictRoute)`. Raises `ApiError` 400 for what is no JSON, 415 for another type."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_json = self.body_field is not None

        async def strict(request: Request) -> Response:
            whole = StrictRequest(request.scope, request.receive)
            await admitted(whole)  # a stranger's body is not even read
            if takes_json and not content_type(request).startswith(MULTIPART):
                whole.parsed = await read_json(whole)
            return await handle(whole)

        return strict


async def read_json(request: Request) -> Any:
    """The body, parsed; None when there is none."""
    body = await request.body()
    if not body:
        return None
    if content_type(request) not in {"application/json", "text/json"}:
        raise ApiError(415, "unsupported_media_type", "Send JSON, with the header Content-Type: application/json.")
    return parse(body)


def parse(text: bytes | str) -> Any:
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if sum(map(body.count, MARKS)) > MOST_VALUES:
        raise ApiError(413, "too_large", f"The body has more than {MOST_VALUES:,} values.")
    try:
        value = _loads(body)
        again = orjson.dumps(value)
    except orjson.JSONDecodeError:
        raise ApiError(400, "invalid_json", "The body is not valid JSON in UTF-8.") from None
    except orjson.JSONEncodeError:
        raise ApiError(400, "invalid_json", "The body is nested too deeply.") from None
    if b"\\u0000" in again and NUL.search(again):
        raise ApiError(400, "invalid_json", "The body has a NUL character, which no text needs.")
    return value


def _loads(body: bytes) -> Any:
    """Without a collection of garbage in between: it takes most of the time, and finds none."""
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        gc.enable()


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
