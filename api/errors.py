"""What goes wrong, as HTTP: one table from errors to statuses, one sentence, and a body in the dialect of each door."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.stream import Left
from jobs import JobConflict, JobNotFound, KeyReused, StoreUnavailable, ThreadNotFound
from services.lifecycle import NotServing
from services.web import FileTooLarge, StoredFileNotFound

logger = logging.getLogger(__name__)

OPENAI = "/v1/"
DEEP_CHAT = "/chat-stream"
RETRY_SECONDS = 2
"""What a refused caller is asked to wait while the server starts, ends, or cannot reach its data."""
NOBODY = 499
"""The status of an answer that nobody is there to read."""


class ApiError(Exception):
    """An answer that is no success. `message` is one sentence that tells a person what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        """Path of the field at fault: `arguments.years`."""
        self.headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


STATUSES: Mapping[type[Exception], tuple[int, str]] = {
    JobNotFound: (404, "not_found"),
    ThreadNotFound: (404, "not_found"),
    StoredFileNotFound: (404, "not_found"),
    JobConflict: (409, "conflict"),
    KeyReused: (409, "key_reused"),
    FileTooLarge: (413, "too_large"),
    StoreUnavailable: (503, "unavailable"),
    NotServing: (503, "unavailable"),
}
"""Errors of the engine, the file store and the process; their messages may be shown."""

CODES: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request could not be read."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
    413: ("too_large", "The request is too large."),
    415: ("unsupported_media_type", "Send JSON, with the header Content-Type: application/json."),
}
"""What the framework itself refuses."""

UPSTREAM_STATUSES: Mapping[str, int] = {
    "model_rate_limited": 429,
    "model_timeout": 504,
    "model_unreachable": 503,
    "interrupted_too_often": 503,
    "unavailable": 503,
    "not_found": 404,
    "cancelled": 499,  # by somebody else; not one of the statuses that make clients ask again by themselves
}
"""A job's failure before its first word, by its code; any other of the model's is 502, any other at all 500."""

OPENAI_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def of_failure(code: str, message: str) -> ApiError:
    """A job that failed before it said anything, as the answer to whoever waits for it."""
    status = UPSTREAM_STATUSES.get(code, 502 if code.startswith("model_") else 500)
    return ApiError(status, code, message, retry_after=RETRY_SECONDS if status in {429, 503} else None)


def from_exception(error: Exception) -> ApiError:
    """Any error that has an answer of its own."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        code, message = CODES.get(error.status_code, ("refused", "The request was refused."))
        known = ApiError(error.status_code, code, message)
        known.headers |= error.headers or {}  # such as Allow
        return known
    status, code = next(known for kind, known in STATUSES.items() if isinstance(error, kind))
    return ApiError(status, code, str(error), retry_after=RETRY_SECONDS if status == 503 else None)


def body_of(error: ApiError, path: str) -> dict[str, Any]:
    """The error in the dialect of the door that was called."""
    if path.startswith(OPENAI):
        return {"error": openai_error(error.status, error.code, error.message, error.param)}
    if path == DEEP_CHAT:
        return {"error": error.message}
    return {"error": {"code": error.code, "message": error.message}}


def refusal_words(path: str, status: int, code: str, message: str) -> dict[str, Any]:
    """For what refuses before any route is found."""
    return body_of(ApiError(status, code, message), path)


def openai_error(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    kind = OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": message, "type": kind, "param": param, "code": code}


def answer(request: Request, error: ApiError) -> JSONResponse:
    return JSONResponse(body_of(error, request.url.path), error.status, headers=error.headers)


def install_errors(app: FastAPI) -> None:
    """Every error of every route gets its body here."""

    async def told(request: Request, error: Exception) -> JSONResponse:
        known = from_exception(error)
        if known.status == 422 and request.url.path.startswith(OPENAI):
            known.status = 400  # as OpenAI has it
        return answer(request, known)

    async def unheard(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return Response(status_code=NOBODY)  # whoever sent the body left in the middle of it: no error of ours

    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        fields = {"method": request.method, "path": request.url.path}
        logger.error("request failed", exc_info=error, extra={"fields": fields})
        return answer(request, ApiError(500, "internal_error", "Something went wrong inside the server."))

    for kind in (ApiError, RequestValidationError, HTTPException, *STATUSES):
        app.add_exception_handler(kind, told)
    app.add_exception_handler(ClientDisconnect, unheard)
    app.add_exception_handler(Left, unheard)
    app.add_exception_handler(Exception, unforeseen)


def _invalid(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong, with its field. The value itself is left out: it may be a secret, or huge."""
    first = error.errors()[0]
    place = _path(first["loc"][1:])
    said = str(first["msg"]).removeprefix("Value error, ")
    message = f"{place or 'The request'}: {said[:1].lower()}{said[1:]}".rstrip(".")[:500] + "."
    return ApiError(422, "invalid_request", message, param=place or None)


def _path(parts: Sequence[int | str]) -> str:
    """`messages`, 0, `role` → `messages.0.role`, without what a caller may have made endless."""
    return ".".join(str(part)[:80] for part in parts[:12]).encode("utf-8", "replace").decode()
