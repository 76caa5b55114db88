"""Reads the requests of the AI SDK's `useChat`: the UI messages of the whole conversation."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from api.errors import ApiError
from api.strict import content_type, parse
from api.submit import MAX_FILES
from services.web import WebServices

MAX_MESSAGES = 10_000
MAX_PARTS = 10_000
TAKEN = frozenset({"application/json", "text/json", "text/plain"})
"""Content types. `WorkflowChatTransport` sets none, so browsers send plain text."""
FIELD = "messages"


class Part(BaseModel):
    """Text, or an attached file as a data URL. Other parts, such as earlier tool calls, are ignored."""

    model_config = ConfigDict(strict=True)

    type: str
    text: str | None = None
    url: str | None = None
    media_type: str | None = Field(None, alias="mediaType", max_length=200)
    filename: str | None = Field(None, max_length=400)


class UiMessage(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["system", "user", "assistant"]
    parts: Annotated[list[Part], FailFast(), Field(max_length=MAX_PARTS)]

    @property
    def text(self) -> str:
        return "".join(part.text or "" for part in self.parts if part.type == "text")

    @property
    def files(self) -> list[Part]:
        return [part for part in self.parts if part.type == "file"]


class NewUiChat(BaseModel):
    """The last message is the question. Other keys are ignored."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [{"messages": [{"role": "user", "parts": [{"type": "text", "text": "Why is the sky blue?"}]}]}]
        },
    )

    id: str | None = Field(None, max_length=200, description="The chat's id, under which its stream is found again.")
    model: str | None = Field(None, max_length=200, description="One of `GET /v1/models`.")
    messages: Annotated[list[UiMessage], FailFast(), Field(min_length=1, max_length=MAX_MESSAGES)]

    @property
    def question(self) -> UiMessage:
        return self.messages[-1]

    @property
    def earlier(self) -> list[dict[str, str]]:
        """Returns the messages before the question in OpenAI's format."""
        told = ((message.role, message.text) for message in self.messages[:-1])
        return [{"role": role, "content": text} for role, text in told if text]


def schema() -> dict[str, Any]:
    """Returns a schema without references, which a route's `openapi_extra` could not resolve."""
    whole = NewUiChat.model_json_schema()
    definitions = whole.pop("$defs")
    message = definitions["UiMessage"]
    message["properties"]["parts"]["items"] = definitions["Part"]
    whole["properties"]["messages"]["items"] = message
    return whole


async def read_chat(request: Request) -> NewUiChat:
    """Raises `ApiError` or `RequestValidationError` unless the body is a conversation that ends with a question."""
    if content_type(request) not in TAKEN:
        raise ApiError(415, "unsupported_media_type", "Send JSON, with the header Content-Type: application/json.")
    try:
        chat = NewUiChat.model_validate(parse(await request.body()))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise RequestValidationError([{**first, "loc": ("body", *first["loc"])}]) from None
    question = chat.question
    if question.role != "user" or not (question.text.strip() or question.files):
        message = f"{FIELD}: the last one must be the user's, with text or files."
        raise ApiError(422, "invalid_request", message, param=FIELD)
    return chat


async def save_files(services: WebServices, parts: Sequence[Part], user: str) -> list[str]:
    """Saves all files of a message, or none if one fails. Returns their ids. Raises `ApiError`, `FileTooLarge` …"""
    if len(parts) > MAX_FILES:
        raise ApiError(422, "invalid_request", f"{FIELD}: more than {MAX_FILES} files.", param=FIELD)
    contents = [_content(part) for part in parts]
    saved: list[str] = []
    try:
        for part, content in zip(parts, contents, strict=True):
            stored = await services.uploads.save(
                name=part.filename or "file",
                mime=part.media_type or "application/octet-stream",
                owner=user,
                source=_once(content),
            )
            saved.append(stored.id)
    except BaseException:
        for file_id in saved:
            await services.uploads.delete(file_id, user)
        raise
    return saved


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _content(part: Part) -> bytes:
    head, comma, data = (part.url or "").partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error:
            pass
    raise ApiError(422, "invalid_request", f"{FIELD}: send files as data URLs in Base64.", param=FIELD)
