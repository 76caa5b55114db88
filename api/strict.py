"""Reads JSON bodies strictly: what the engine could not store and give back is refused at the door."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.errors import ApiError

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it; behind an odd number of backslashes it is one, behind an even number it is text about one."""

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


def parse(body: bytes | str) -> Any:
    try:
        value = orjson.loads(body)
        again = orjson.dumps(value)
    except orjson.JSONDecodeError:
        raise ApiError(400, "invalid_json", "The body is not valid JSON in UTF-8.") from None
    except orjson.JSONEncodeError:
        raise ApiError(400, "invalid_json", "The body is nested too deeply.") from None
    if NUL.search(again):
        raise ApiError(400, "invalid_json", "The body has a NUL character, which no text needs.")
    return value


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
