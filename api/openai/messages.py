"""Reads a conversation in OpenAI's format strictly, so that every model accepts the result."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field

from api.errors import ApiError
from jobs.encoding import encode

MAX_MESSAGES = 10_000
MAX_PARTS = 20_000
"""Parts and calls of all messages together. A body has room for 400,000, whose validation would take seconds."""
MAX_DEPTH = 100
"""Nesting of a tool call's arguments, because the worker parses them recursively."""
NAME = r"^[^\s<|\\/>]{1,64}$"
"""The names that OpenAI accepts for a message's author."""


class Part(BaseModel):
    """Text, or another type of content for models. Types that the receiver refuses are refused later, by name."""

    model_config = ConfigDict(strict=True)

    type: str = Field(examples=["text", "image_url"])
    text: str | None = None
    refusal: str | None = None


class FunctionCall(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str = Field(min_length=1, max_length=200)
    arguments: str = Field(description="A JSON object.")


class ToolCall(BaseModel):
    model_config = ConfigDict(strict=True)

    id: str = Field(min_length=1, max_length=200)
    type: Literal["function"] = "function"
    function: FunctionCall


def _as_parts(value: Any) -> Any:
    """Turns a string into one part, so that errors name the field instead of each type of a union."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if value is not None and not isinstance(value, list):
        raise ValueError("must be a string or a list of parts")
    return value


Content = Annotated[
    list[Part] | None,
    FailFast(),  # here and below: many wrong elements must not cause as many errors
    Field(max_length=MAX_PARTS),
    BeforeValidator(_as_parts, json_schema_input_type=str | list[Part] | None),
]


class Message(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None
    refusal: str | None = Field(None, description="Of an earlier answer of the model.")
    name: str | None = Field(None, pattern=NAME)
    tool_calls: Annotated[list[ToolCall] | None, FailFast(), Field(max_length=1_000)] = None
    tool_call_id: str | None = Field(None, max_length=200)


def few_parts(messages: Any) -> Any:
    """Counts the parts before any is validated."""
    inner = (
        message.get(name) for message in messages if isinstance(message, dict) for name in ("content", "tool_calls")
    )
    if sum(len(parts) for parts in inner if isinstance(parts, list)) > MAX_PARTS:
        raise ValueError(f"must have at most {MAX_PARTS} parts in all messages together")
    return messages


Messages = Annotated[
    list[Message],
    FailFast(),
    Field(min_length=1, max_length=MAX_MESSAGES),
    BeforeValidator(lambda value: few_parts(value) if isinstance(value, list) else value),
]


MEDIA = frozenset({"image_url", "input_audio", "file", "refusal"})
"""Types of parts that only a direct model call accepts. The endpoint loads their addresses."""


@dataclass(frozen=True, kw_only=True)
class Conversation:
    earlier: Sequence[Mapping[str, Any]]
    """The messages before the question, in OpenAI's format. A result follows every tool call."""
    question: str
    """The user's last message."""
    continues: bool = False
    """The question is one of the messages, because the last messages are results of the caller's tools."""

    def arguments(self, tools: Sequence[Any]) -> dict[str, Any]:
        """Returns the conversation for the agent's job. `tools` are the caller's, in the format of chat completions."""
        return {
            **({"client_tools": list(tools)} if tools else {}),
            **({"continues": True} if self.continues else {}),
        }


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """Raises `ApiError` 400 for a conversation that a model would reject."""
    *earlier, last = messages
    place = f"messages.{len(earlier)}"
    if last.role == "tool":
        told = list(_told(messages))
        return Conversation(earlier=told, question=last_words(told), continues=True)
    if last.role != "user":
        raise refusal(f"{place}.role", "the last message must be the user's, or a tool's result")
    question = _text(last, place)
    if not question.strip():
        raise refusal(f"{place}.content", "the last message needs text")
    return Conversation(earlier=list(_told(earlier)), question=question)


def last_words(messages: Sequence[Mapping[str, Any]]) -> str:
    """Returns the text of the user's newest message, without its images and files; empty if there is none."""
    content = next((one["content"] for one in reversed(messages) if one["role"] == "user"), None) or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def tool_calls(calls: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Returns the calls of a job's result, {id, name, arguments}, in the format of chat completions."""
    return [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in calls
    ]


def check_conversation(messages: Sequence[Message]) -> str | None:
    """Returns the user's last text in a conversation for a direct model call; None if there is none.

    Raises `ApiError` 400 for a conversation that a model would reject.
    """
    told = list(_told(messages, MEDIA))
    newest = messages[-1].model_dump(include={"role", "content"})  # with its images, because it may have no text
    check_says([newest], len(messages), "messages")
    words = last_words(told)
    return words if words.strip() else None


def check_last(messages: Sequence[Mapping[str, Any]], number: int, field: str) -> None:
    """Raises `ApiError` 400 unless the last message, the `number`th of the field, asks an agent for an answer."""
    if messages[-1]["role"] not in ("user", "tool"):
        raise refusal(f"{field}.{number - 1}.role", "the last message must be the user's, or a tool's result")
    check_says(messages, number, field)


def check_says(messages: Sequence[Mapping[str, Any]], number: int, field: str) -> None:
    """Raises `ApiError` 400 if the last message, the `number`th of the field, is the user's and empty.

    In a direct model call it may also be the assistant's, which the model then continues, or the system's.
    """
    last = messages[-1]
    content = last["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if last["role"] == "user" and all(part["type"] == "text" and not part["text"].strip() for part in parts):
        raise refusal(f"{field}.{number - 1}.content", "the last message needs text")


def refusal(place: str, sentence: str, code: str = "invalid_request") -> ApiError:
    return ApiError(400, code, f"{place}: {sentence}.", param=place)


def _told(messages: Sequence[Message], media: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """Yields the messages as they are stored, without `media`. Every tool call must be followed by its result."""
    open_calls: dict[str, None] = {}
    for number, message in enumerate(messages):
        place = f"messages.{number}"
        if message.role == "tool":
            yield _result(message, place, open_calls, media)
            continue
        _none_open(open_calls, place)
        if message.role == "assistant":
            yield _assistant(message, place, open_calls, media)
        else:
            yield _said(message, place, media)
    _none_open(open_calls, f"messages.{len(messages)}")


def _none_open(open_calls: Mapping[str, None], place: str) -> None:
    if open_calls:
        raise refusal(place, f"the result of the tool call {next(iter(open_calls))!r} must come before it")


def _said(message: Message, place: str, media: Collection[str]) -> dict[str, Any]:
    said = {"role": message.role, "content": _text(message, place, media)}
    return {**said, "name": message.name} if message.name else said


def _result(message: Message, place: str, open_calls: dict[str, None], media: Collection[str]) -> dict[str, Any]:
    call_id = message.tool_call_id
    if not call_id or call_id not in open_calls:
        raise refusal(f"{place}.tool_call_id", "must be the id of a tool call just before it")
    del open_calls[call_id]
    return {"role": "tool", "tool_call_id": call_id, "content": _text(message, place, media)}


def _assistant(message: Message, place: str, open_calls: dict[str, None], media: Collection[str]) -> dict[str, Any]:
    if not message.tool_calls:
        return _said(message, place, media)
    calls = []
    for number, call in enumerate(message.tool_calls):
        if call.id in open_calls:
            raise refusal(f"{place}.tool_calls.{number}.id", "two tool calls have this id")
        open_calls[call.id] = None
        arguments = _arguments(call.function.arguments, f"{place}.tool_calls.{number}.function.arguments")
        calls.append({"id": call.id, "type": "function", "function": {"name": call.function.name, **arguments}})
    text = _text(message, place, media) if message.content is not None else ""
    return {"role": "assistant", "content": text, "tool_calls": calls}


def _arguments(text: str, place: str) -> dict[str, str]:
    """Some endpoints send an empty string for a tool without arguments."""
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        raise refusal(place, "must be a JSON object") from None
    if not isinstance(value, dict) or _deeper(value, MAX_DEPTH):
        raise refusal(place, f"must be a JSON object, nested at most {MAX_DEPTH} levels deep")
    return {"arguments": encode(value).decode()}


def _deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [child for children in inner for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _text(message: Message, place: str, media: Collection[str] = ()) -> str:
    if message.content is None and message.refusal is not None:
        return message.refusal
    if message.content is None:
        raise refusal(f"{place}.content", "must be a string or a list of parts")
    parts = [(number, part) for number, part in enumerate(message.content) if part.type not in media]
    return "\n".join(_words(part, f"{place}.content.{number}") for number, part in parts)


def _words(part: Part, place: str) -> str:
    if part.type == "refusal" and part.refusal is not None:
        return part.refusal
    if part.type != "text":
        sentence = f"only text is accepted here, not {part.type[:40]!r}; upload files with POST /api/files"
        raise refusal(f"{place}.type", sentence, "unsupported_content")
    if part.text is None:
        raise refusal(f"{place}.text", "must be a string")
    return part.text
