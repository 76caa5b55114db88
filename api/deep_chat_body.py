"""Reads what the Deep Chat component sends: messages as JSON, or a form when files are attached."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from starlette.datastructures import FormData

from api.errors import ApiError
from api.files import open_form, save
from api.strict import MULTIPART, content_type, parse
from api.submit import MAX_FILES
from services.web import WebServices

MAX_FIELDS = 1_000
MAX_MESSAGES = 10_000
NUMBERED = re.compile(r"message([1-9][0-9]{0,5})")
"""The component's names for a form's message fields, numbered in the order of the conversation."""
ROLES = {"user": "user", "ai": "assistant"}
"""The component's role → OpenAI's."""

Shape = TypeVar("Shape", bound=BaseModel)


class Message(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["user", "ai"]
    text: str | None = None


class Conversation(BaseModel):
    """The last message is the question; by default the component sends only that one. Other keys are ignored."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"examples": [{"messages": [{"role": "user", "text": "Why is the sky blue?"}]}]},
    )

    messages: Annotated[list[Message], FailFast(), Field(min_length=1, max_length=MAX_MESSAGES)]
    model: str | None = Field(
        None, max_length=200, description="One of `GET /v1/models`: a model or an agent (`additionalBodyProps`)."
    )


class Attachments(BaseModel):
    """The conversation as a form."""

    files: list[bytes] = Field(description="Attached to the question.")
    message1: str = Field(description="A message as JSON; further ones are `message2`, `message3` …")


def schema_of_json() -> dict[str, Any]:
    """Returns a schema without references, because a route's `openapi_extra` cannot refer to other schemas."""
    schema = Conversation.model_json_schema()
    schema["properties"]["messages"]["items"] = schema.pop("$defs")["Message"]
    return schema


@dataclass(frozen=True, kw_only=True)
class Question:
    text: str
    """Empty when there are only files."""
    earlier: Sequence[Mapping[str, str]]
    """The messages before it, in OpenAI's format."""
    files: Sequence[str] = ()
    """Ids of the files uploaded with it."""
    model: str | None = None
    """The model or agent to ask; None for the default one."""


async def read_question(request: Request, services: WebServices, user: str) -> Question:
    """Raises `ApiError` or `RequestValidationError` unless the body is a conversation; `FileTooLarge`, `NoSpace`."""
    limit_bytes = services.settings.max_body_bytes
    match content_type(request):
        case "application/json" | "text/json":
            body = parse(await _whole_body(request, limit_bytes))
            said = _valid(Conversation, body)
            return replace(_question(said.messages, files=False), model=said.model)
        case kind if kind == MULTIPART:
            async with open_form(request, max_files=MAX_FILES, max_fields=MAX_FIELDS) as form:
                return await _question_of_form(form, services, user)
    raise ApiError(415, "unsupported_media_type", "Send JSON, or a form (multipart/form-data) with files.")


async def _whole_body(request: Request, limit_bytes: int) -> bytes:
    """Raises `ApiError` 413 above the limit for JSON, which is lower than this route's limit for uploads."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        _refuse_above(limit_bytes, len(body))
    return bytes(body)


async def _question_of_form(form: FormData, services: WebServices, user: str) -> Question:
    fields = {int(match[1]): value for name, value in form.items() if (match := NUMBERED.fullmatch(name))}
    messages = [fields[number] for number in sorted(fields)]
    parts = form.getlist("files")
    if any(not isinstance(message, str) for message in messages) or any(isinstance(part, str) for part in parts):
        raise ApiError(422, "invalid_request", "Send messages as fields message1, message2 … and uploads as files.")
    _refuse_above(services.settings.max_body_bytes, sum(len(str(message)) for message in messages))
    question = _question([_valid(Message, parse(str(message))) for message in messages], files=bool(parts))
    return Question(text=question.text, earlier=question.earlier, files=await save_all(services, parts, user))


async def save_all(services: WebServices, parts: Sequence[Any], user: str) -> list[str]:
    """Saves all files, or none if one fails. Returns their ids."""
    saved: list[str] = []
    try:
        for part in parts:
            stored = await save(services, part, user)
            saved.append(stored.id)
    except BaseException:
        for file_id in saved:
            await services.uploads.delete(file_id, user)
        raise
    return saved


def _question(messages: Sequence[Message], *, files: bool) -> Question:
    """The component omits the last message when it has files but no text, so `messages` may end with an answer."""
    if messages and messages[-1].role == "user":
        *earlier, last = messages
        text = last.text or ""
    else:
        earlier, text = list(messages), ""
    if not text.strip() and not files:
        raise ApiError(
            422, "invalid_request", "messages: the last one must be the user's, with text or files.", param="messages"
        )
    told = [{"role": ROLES[message.role], "content": message.text} for message in earlier if message.text]
    return Question(text=text, earlier=told)


def _valid(shape: type[Shape], value: Any) -> Shape:
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise RequestValidationError([{**first, "loc": ("body", *first["loc"])}]) from None


def _refuse_above(limit_bytes: int, size: int) -> None:
    if size > limit_bytes:
        raise ApiError(413, "too_large", f"The messages are larger than {limit_bytes // 1_000_000} MB.")
