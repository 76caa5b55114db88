"""How the API's documentation describes errors: one sentence and one example per status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from api.errors import OPENAI
from api.job_view import ErrorView


class ErrorBody(BaseModel):
    error: ErrorView


EXAMPLES: dict[int, tuple[str, str, str]] = {
    400: ("The body could not be read.", "invalid_json", "The body is not valid JSON in UTF-8."),
    401: ("The caller is unknown.", "invalid_api_key", "Send a known key: Authorization: Bearer KEY."),
    404: ("It does not exist, or belongs to another user.", "not_found", "There is no job 'job_x'."),
    409: ("The state does not allow it.", "conflict", "The job is still running; cancel it first."),
    413: ("The body is larger than the limit.", "too_large", "The request is larger than 4 MB."),
    415: (
        "The body is not JSON.",
        "unsupported_media_type",
        "Send JSON, with the header Content-Type: application/json.",
    ),
    422: ("A field is wrong; the sentence begins with its path.", "invalid_request", "task: field required."),
    429: ("Too many requests; see `Retry-After`.", "rate_limited", "Too many requests; wait a little."),
    503: (
        "The server is starting, stopping or cannot reach its data; see `Retry-After`.",
        "unavailable",
        "The server is starting or stopping; try again.",
    ),
    507: (
        "The server's disk is full.",
        "no_space",
        "The server's disk is full, so the file was not stored. Try again when there is room.",
    ),
}


def described(describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns the framework's description without the 422 it adds to OpenAI routes, which answer 400 as OpenAI does."""
    schema = describe()
    for path, calls in schema["paths"].items():
        if path.startswith(OPENAI):
            for call in calls.values():
                call["responses"].pop("422", None)
    return schema


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the value of a route's `responses`."""
    return {status: _response(status) for status in statuses}


def _response(status: int) -> dict[str, Any]:
    description, code, message = EXAMPLES[status]
    example = {"error": {"code": code, "message": message}}
    content = {"application/json": {"example": example}}
    response = {"model": ErrorBody, "description": description, "content": content}
    if status in {429, 503}:
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        response["headers"] = {"Retry-After": seconds}
    return response
