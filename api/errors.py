"""Errors as HTTP responses: one table from exceptions to statuses, and a body in the format of the API called."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.stream import ClientGone
from jobs import JobConflict, JobNotFound, KeyReused, QueueFull, StorageFull, StoreUnavailable, ThreadNotFound
from services.agents import AgentGone
from services.lifecycle import NotServing
from services.web import FileTooLarge, NoSpace, StoredFileNotFound

logger = logging.getLogger(__name__)

OPENAI = "/v1/"
DEEP_CHAT = "/chat-stream"
MCP = "/mcp"
RETRY_SECONDS = 2
"""`Retry-After` while the server starts, stops, or cannot reach its data or its model."""
RETRY_AFTER = {429: 10, 503: RETRY_SECONDS}
"""By status; a full queue takes longer to empty."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that disconnected before the response."""


class ApiError(Exception):
    """An error response. `message` is one sentence that tells the user what to do."""

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
        """Path of the wrong field, such as `arguments.years`."""
        self.headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


STATUSES: Mapping[type[Exception], tuple[int, str]] = {
    JobNotFound: (404, "not_found"),
    ThreadNotFound: (404, "not_found"),
    StoredFileNotFound: (404, "not_found"),
    JobConflict: (409, "conflict"),
    KeyReused: (409, "key_reused"),
    AgentGone: (409, "agent_gone"),
    FileTooLarge: (413, "too_large"),
    StorageFull: (413, "storage_full"),
    QueueFull: (429, "queue_full"),
    NoSpace: (507, "no_space"),
    StoreUnavailable: (503, "unavailable"),
    NotServing: (503, "unavailable"),
}
"""Errors of the engine, the file store and the process; their messages may be shown."""

CODES: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request could not be read."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not accept that method."),
    408: ("too_slow", "The request did not arrive in time."),
    413: ("too_large", "The request is too large."),
    415: ("unsupported_media_type", "Send JSON, with the header Content-Type: application/json."),
}
"""Errors that the framework raises itself: status → code and message."""

UPSTREAM_STATUSES: Mapping[str, int] = {
    "model_rate_limited": 429,
    "model_timeout": 504,
    "model_unreachable": 503,
    "interrupted_too_often": 503,
    "unavailable": 503,
    "not_found": 404,
    "request_refused": 400,
    "cancelled": 499,  # cancelled by someone else; clients do not retry this status automatically
}
"""Error code of a job that failed before its first word → status. Other `model_…` codes are 502, all others 500."""

OPENAI_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def of_failure(code: str, message: str) -> ApiError:
    """Returns the HTTP error for a job that failed before its first word."""
    status = UPSTREAM_STATUSES.get(code, 502 if code.startswith("model_") else 500)
    return ApiError(status, code, message, retry_after=RETRY_SECONDS if status in {429, 503} else None)


def from_exception(error: Exception) -> ApiError:
    """Returns the `ApiError` for any error in `STATUSES` and for those of the framework."""
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
    return ApiError(status, code, str(error), retry_after=RETRY_AFTER.get(status))


def body_of(error: ApiError, path: str) -> dict[str, Any]:
    """Returns the error's body in the format of the API called: OpenAI's, Deep Chat's, JSON-RPC's or our own."""
    if path.startswith(OPENAI):
        return {"error": openai_error(error.status, error.code, error.message, error.param)}
    if path == DEEP_CHAT:
        return {"error": error.message}
    if path == MCP:
        return {"jsonrpc": "2.0", "error": json_rpc_error(error)}
    return {"error": {"code": error.code, "message": error.message}}


def refusal_words(path: str, status: int, code: str, message: str) -> dict[str, Any]:
    """Returns the body for middleware that refuses a request before routing."""
    return body_of(ApiError(status, code, message), path)


def openai_error(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    kind = OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": message, "type": kind, "param": param, "code": code}


def json_rpc_error(error: ApiError) -> dict[str, Any]:
    code = -32700 if error.code == "invalid_json" else -32600 if error.status < 500 else -32603
    return {"code": code, "message": error.message, "data": {"code": error.code}}


def answer(request: Request, error: ApiError) -> JSONResponse:
    return JSONResponse(body_of(error, request.url.path), error.status, headers=error.headers)


def install_errors(app: FastAPI) -> None:
    """Registers the handlers that turn every error of every route into a response."""

    async def answer_known(request: Request, error: Exception) -> JSONResponse:
        known = from_exception(error)
        if known.status == 422 and request.url.path.startswith(OPENAI):
            known.status = 400  # as OpenAI does
        return answer(request, known)

    async def answer_disconnected(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return Response(status_code=CLIENT_CLOSED_REQUEST)  # the client disconnected: not an error of the server

    async def answer_unforeseen(request: Request, error: Exception) -> JSONResponse:
        fields = {"method": request.method, "path": request.url.path}
        logger.error("request failed", exc_info=error, extra={"fields": fields})
        return answer(request, ApiError(500, "internal_error", "Something went wrong inside the server."))

    for kind in (ApiError, RequestValidationError, HTTPException, *STATUSES):
        app.add_exception_handler(kind, answer_known)
    app.add_exception_handler(ClientDisconnect, answer_disconnected)
    app.add_exception_handler(ClientGone, answer_disconnected)
    app.add_exception_handler(Exception, answer_unforeseen)


def _invalid(error: RequestValidationError) -> ApiError:
    """Reports the first problem with its field. Leaves the value out, which may be secret or huge."""
    first = error.errors()[0]
    place = _path(first["loc"][1:])
    said = str(first["msg"]).removeprefix("Value error, ")
    message = f"{place or 'The request'}: {said[:1].lower()}{said[1:]}".rstrip(".")[:500] + "."
    return ApiError(422, "invalid_request", message, param=place or None)


def _path(parts: Sequence[int | str]) -> str:
    """`messages`, 0, `role` → `messages.0.role`, shortened because a caller controls its length."""
    return ".".join(str(part)[:80] for part in parts[:12]).encode("utf-8", "replace").decode()
