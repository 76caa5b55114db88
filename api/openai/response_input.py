"""The request of a response: its shape, and the conversation that it continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field

from api.answer import calls_of, refusal_of
from api.errors import ApiError
from api.openai.messages import (
    MAX_MESSAGES,
    MAX_PARTS,
    Conversation,
    check_last,
    few_parts,
    last_words,
    refusal,
    tool_calls,
)
from api.openai.parameters import ResponseParameters
from api.openai.response_events import ASKED, UNASKED
from jobs import Job, JobClient
from jobs.encoding import encode
from jobs.events import JobCompleted
from jobs.models import JSON
from jobs.transcript import Transcript
from names import MODEL

FILE = "file:"
"""The prefix of the placeholder for an uploaded file's content, until `with_files` has read it."""
UNSUPPORTED = "unsupported_content"
UNKEPT = "unsupported_parameter"
ROLES = ("system", "developer", "user", "assistant")
MESSAGE = "message"
MAX_METADATA = 16
TEXT_TYPES = frozenset({"input_text", "output_text", "text", "refusal"})
MEDIA_TYPES = frozenset({"input_image", "input_file"})
CALL, RESULT, REASONING = "function_call", "function_call_output", "reasoning"
ECHOED = (*UNASKED, "background", "include", "instructions", "metadata", "model", "previous_response_id", "text")
"""Fields that the response repeats."""


class InputPart(BaseModel):
    """A part of a message: text, or an image or file as a data URL. Other types are refused later, by name."""

    model_config = ConfigDict(strict=True)

    type: str = Field(examples=["input_text"])
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = Field(None, description="A data URL.")
    detail: str | None = Field(None, max_length=20)
    file_id: str | None = Field(None, max_length=200, description="Of an uploaded file.")
    file_data: str | None = Field(None, description="A data URL.")
    filename: str | None = Field(None, max_length=200)
    file_url: str | None = Field(None, description="Refused: no address is fetched for a caller.")


def _as_parts(value: Any) -> Any:
    """Turns a string into one part, so that errors name the field instead of each type of a union."""
    if isinstance(value, str):
        return [{"type": "input_text", "text": value}]
    if value is not None and not isinstance(value, list):
        raise ValueError("must be a string or a list of parts")
    return value


Content = Annotated[
    list[InputPart] | None,
    FailFast(),
    Field(max_length=MAX_PARTS),
    BeforeValidator(_as_parts, json_schema_input_type=str | list[InputPart] | None),
]


class InputItem(BaseModel):
    """A message of either side, a call by the model, its result, or a reference to an earlier item.

    Other types are refused later, by name.
    """

    model_config = ConfigDict(strict=True)

    type: str = MESSAGE
    id: str | None = Field(None, max_length=200, description="Of an item_reference: an item of an earlier response.")
    role: str | None = Field(None, examples=[*ROLES])
    content: Content = None
    call_id: str | None = Field(None, min_length=1, max_length=200)
    name: str | None = Field(None, min_length=1, max_length=200)
    arguments: str | None = None
    output: Content = None


def _as_items(value: Any) -> Any:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise ValueError("must be a string or a list of items")  # noqa: TRY004 - pydantic wants this one
    return few_parts(value)


def _few(value: Any) -> Any:
    """Counts first, because every wrong value of a mapping would become a separate error."""
    if isinstance(value, dict) and len(value) > MAX_METADATA:
        raise ValueError(f"must have at most {MAX_METADATA} entries")
    return value


Input = Annotated[
    list[InputItem],
    FailFast(),
    Field(min_length=1, max_length=MAX_MESSAGES),
    BeforeValidator(_as_items, json_schema_input_type=str | list[InputItem]),
]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=MAX_METADATA),
    BeforeValidator(_few),
]


class NewResponse(ResponseParameters):
    """Other fields are passed on unchanged in a direct model call; an agent ignores them."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"examples": [{"model": "gpt-5-mini", "input": "Hello", "background": True, "stream": True}]},
    )

    model: str | None = Field(None, max_length=200, description="One of `GET /v1/models`; by default the first agent.")
    input: Input
    instructions: str | None = Field(None, description="Sent to the model before all messages.")
    stream: bool | None = None
    background: bool | None = Field(None, description="The answer continues after the caller disconnects.")
    metadata: Metadata | None = Field(None, description="Returned unchanged.")
    previous_response_id: str | None = Field(None, max_length=200, description="Continue from this answer.")
    conversation: Any = Field(None, description="Refused: use previous_response_id.")
    prompt: Any = Field(None, description="Refused: prompts are not kept here.")

    def asked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields of the body that the response repeats, as its job stores them."""
        kept = {name: body.get(name) for name in ECHOED}
        said = {name: value for name, value in kept.items() if value is not None}
        if self.tools:
            said["tools"] = [
                {"description": None, "parameters": None, "strict": None, **tool} for tool in said["tools"]
            ]
        return {**said, "background": bool(self.background)}


def check_kept(asked: NewResponse) -> None:
    """Raises `ApiError` 400 for a request that rests on what OpenAI keeps for its callers."""
    if asked.conversation is not None:
        raise refusal("conversation", "conversations are not kept here; use previous_response_id", UNKEPT)
    if asked.prompt is not None:
        raise refusal("prompt", "prompts are not kept here; send the text as instructions", UNKEPT)


def for_agent(messages: Sequence[dict[str, Any]], number: int) -> Conversation:
    """Returns a conversation for an agent. `number` is the number of its last input item.

    Raises `ApiError` 400 for one that a model would reject.
    """
    *earlier, newest = messages = [_as_text(message) for message in messages]
    if any(isinstance(message["content"], list) for message in messages):
        raise refusal("input", "an agent reads text; upload files with POST /api/files", UNSUPPORTED)
    if newest["role"] == "tool":
        return Conversation(earlier=messages, question=last_words(earlier), continues=True)
    check_last([newest], number, "input")
    return Conversation(earlier=earlier, question=newest["content"])


def _as_text(message: dict[str, Any]) -> dict[str, Any]:
    """Returns the message with its refusal, if it has one, as words of the conversation."""
    content = message["content"]
    if not isinstance(content, list) or not all(part["type"] in ("text", "refusal") for part in content):
        return message
    return {**message, "content": "\n".join(part[part["type"]] for part in content)}


def read_items(items: Sequence[InputItem]) -> list[dict[str, Any]]:
    """Returns the items as messages of chat completions; consecutive calls are in one message."""
    messages: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        place = f"input.{number}"
        match item.type:
            case "message":
                messages.append(_said(item, place))
            case "function_call":
                _add_call(messages, item, place)
            case "function_call_output":
                messages.append(_result(item, place))
            case "reasoning":
                pass  # `with_reasoning` adds what the endpoint itself sent
            case _:
                raise refusal(
                    f"{place}.type", f"messages and function calls are accepted, not {item.type[:40]!r}", UNSUPPORTED
                )
    if not messages:
        raise refusal("input", "needs a message")
    return messages


def _said(item: InputItem, place: str) -> dict[str, Any]:
    if item.role not in ROLES:
        raise refusal(f"{place}.role", f"must be one of {', '.join(ROLES)}")
    return {"role": item.role, "content": _content(item.content, f"{place}.content")}


def _add_call(messages: list[dict[str, Any]], item: InputItem, place: str) -> None:
    for name, value in (("call_id", item.call_id), ("name", item.name), ("arguments", item.arguments)):
        if value is None:
            raise refusal(f"{place}.{name}", "a function call has call_id, name and arguments")
    call = {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": item.arguments}}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _result(item: InputItem, place: str) -> dict[str, Any]:
    if not item.call_id:
        raise refusal(f"{place}.call_id", "must be the id of a function call before it")
    return {"role": "tool", "tool_call_id": item.call_id, "content": _content(item.output, f"{place}.output")}


def _content(parts: Sequence[InputPart] | None, place: str) -> str | list[dict[str, Any]]:
    """Returns text, or parts in the form of chat completions if there are images or files."""
    if parts is None:
        raise refusal(place, "must be a string or a list of parts")
    read = [_part(part, f"{place}.{number}") for number, part in enumerate(parts)]
    if all(part["type"] == "text" for part in read):
        return "\n".join(part["text"] for part in read)
    return read


def _part(part: InputPart, place: str) -> dict[str, Any]:
    if part.type == "input_image":
        detail = {"detail": part.detail} if part.detail else {}
        return {"type": "image_url", "image_url": {"url": _data(part, part.image_url, f"{place}.image_url"), **detail}}
    if part.type == "input_file":
        data = _data(part, part.file_data, f"{place}.file_data")
        return {"type": "file", "file": {"file_data": data, "filename": part.filename or "file"}}
    if part.type not in TEXT_TYPES:
        raise refusal(f"{place}.type", f"text, images and files are accepted, not {part.type[:40]!r}", UNSUPPORTED)
    kind = "refusal" if part.type == "refusal" else "text"
    text = part.refusal if kind == "refusal" else part.text
    if text is None:
        raise refusal(f"{place}.{kind}", "must be a string")
    return {"type": kind, kind: text}


def _data(part: InputPart, url: str | None, place: str) -> str:
    """Returns the data URL, or a placeholder for the content of an uploaded file."""
    if part.file_id:
        return FILE + part.file_id
    if url is None or not url.startswith("data:"):
        sentence = "only data URLs and ids of uploaded files are accepted; no address is fetched for a caller"
        raise refusal(place, sentence, UNSUPPORTED)
    return url


def check_calls(messages: Sequence[Mapping[str, Any]]) -> None:
    """Raises `ApiError` 400 unless each call of the model is followed by its result."""
    open_calls: dict[str, None] = {}
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                sentence = f"no open call precedes the result of {message['tool_call_id'][:80]!r}"
                raise refusal("input", sentence)
            del open_calls[message["tool_call_id"]]
            continue
        if open_calls:
            break
        open_calls = {call["id"]: None for call in message.get("tool_calls") or ()}
    if open_calls:
        raise refusal("input", f"the result of the call {next(iter(open_calls))[:80]!r} is missing")


def check_length(messages: Sequence[Mapping[str, Any]], *, max_bytes: int) -> None:
    """Raises `ApiError` 400 when the conversation, which each response stores whole, exceeds a request's limits."""
    if len(messages) > MAX_MESSAGES or len(encode(messages)) > max_bytes:
        message = "The conversation is too long; start a new one with the important parts of this one as its input."
        raise ApiError(400, "context_length_exceeded", message, param="previous_response_id")


async def conversation_of(jobs: JobClient, job: Job) -> list[Mapping[str, Any]]:
    """Returns all messages up to the job's answer, whichever API they came from, without instructions."""
    turns = await jobs.thread_jobs(job.thread_id) if job.thread_id else []
    earlier = [turn for turn in turns if turn.turn < job.turn and turn.request.is_turn]
    said: list[Mapping[str, Any]] = []
    for turn in (*earlier, job):
        said += messages_of(turn)
        transcript = Transcript()
        async for batch in jobs.log(turn.id):
            transcript.feed_all(batch)
        result = transcript.end.result if isinstance(transcript.end, JobCompleted) else None
        if (answer := _answered(transcript.answer, result)) is not None:
            said.append(answer)
    return said


def _answered(text: str, result: JSON) -> dict[str, Any] | None:
    """Returns the message of an answer with this text and the result of its job; None if there is nothing in it."""
    calls, refusal = tool_calls(calls_of(result)), refusal_of(result)
    if not (text or calls or refusal):
        return None
    words = [{"type": "text", "text": text}] if text else []
    content = [*words, {"type": "refusal", "refusal": refusal}] if refusal else text or None
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def messages_of(job: Job) -> list[Mapping[str, Any]]:
    """Returns the job's input without instructions, which apply to one response only."""
    messages: list[Mapping[str, Any]] = list(job.request.arguments.get("messages") or [])
    if (job.request.arguments.get(ASKED) or {}).get("instructions"):
        del messages[0]
    if job.request.task != MODEL and not job.request.arguments.get("continues"):
        messages.append({"role": "user", "content": job.request.input or ""})
    return messages


def items_of(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the messages as input items, with ids that count them."""
    items: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content")
        if message["role"] == "tool":
            items.append({"type": RESULT, "call_id": message["tool_call_id"], "output": content})
            continue
        if content:
            items.append({"type": MESSAGE, "role": message["role"], "status": "completed", "content": _shown(message)})
        calls = message.get("tool_calls") or ()
        items += [{"type": CALL, "status": "completed", "call_id": call["id"], **call["function"]} for call in calls]
    return [{"id": f"item_{number:04d}", **item} for number, item in enumerate(items)]


def _shown(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_shown_part(part, message["role"]) for part in parts]


def _shown_part(part: Mapping[str, Any], role: str) -> dict[str, Any]:
    match part["type"]:
        case "text":
            kind = {"type": "output_text", "annotations": []} if role == "assistant" else {"type": "input_text"}
            return {**kind, "text": part["text"]}
        case "refusal":
            return dict(part)
        case "image_url":
            return {"type": "input_image", "detail": "auto", "image_url": part["image_url"]["url"]}
        case _:
            return {"type": "input_file", **part.get("file", {})}
