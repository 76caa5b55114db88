"""How the API's documentation describes errors in OpenAI's format."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from api.descriptions import EXAMPLES, errors
from api.errors import openai_error


class OpenAIErrorView(BaseModel):
    message: str = Field(description="A sentence for people.")
    type: str
    param: str | None = Field(description="Path of the wrong field.")
    code: str | None = Field(description="For programs.")


class OpenAIErrorBody(BaseModel):
    error: OpenAIErrorView


def openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the value of a route's `responses`."""
    described = errors(*statuses)
    for status, (_, code, message) in EXAMPLES.items():
        if status in described:
            content = {"application/json": {"example": {"error": openai_error(status, code, message)}}}
            described[status] |= {"model": OpenAIErrorBody, "content": content}
    return described
