"""The request of a response: its shape, and the conversation that it continues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field

from api.errors import ApiError
from api.openai.messages import MAX_MESSAGES, MAX_PARTS, Conversation, few_parts, refusal
from api.openai.response_events import ASKED
from jobs import Job, JobClient
from jobs.encoding import encode
from jobs.transcript import Transcript

ROLES = ("system", "developer", "user", "assistant")
MESSAGE = "message"
MAX_METADATA = 16
TEXT_TYPES = frozenset({"input_text", "output_text", "text"})
ECHOED = ("background", "instructions", "metadata", "previous_response_id", "temperature", "top_p", "max_output_tokens")


class InputPart(BaseModel):
    """A text part. Other types are refused later, by name."""

    model_config = ConfigDict(strict=True)

    type: str = Field(examples=["input_text"])
    text: str | None = None


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
    """A message of either side. Other types are refused later, by name."""

    model_config = ConfigDict(strict=True)

    type: str = MESSAGE
    role: str | None = Field(None, examples=[*ROLES])
    content: Content = None


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


class NewResponse(BaseModel):
    """Other fields that OpenAI's clients send are ignored."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"examples": [{"model": "gpt-5-mini", "input": "Hello", "background": True, "stream": True}]},
    )

    model: str | None = Field(None, max_length=200, description="One of `GET /v1/models`.")
    input: Input
    instructions: str | None = Field(None, description="Sent to the model before all messages.")
    stream: bool | None = None
    background: bool | None = Field(None, description="The answer continues after the caller disconnects.")
    metadata: Metadata | None = Field(None, description="Returned unchanged.")
    previous_response_id: str | None = Field(None, max_length=200, description="Continue from this answer.")
    temperature: float | None = Field(None, description="Accepted and returned, but ignored, like the two below.")
    top_p: float | None = None
    max_output_tokens: int | None = None

    def asked(self) -> dict[str, Any]:
        """Returns the fields that the response repeats, as its job stores them."""
        kept = {name: getattr(self, name) for name in ECHOED}
        return {**{name: value for name, value in kept.items() if value}, "background": bool(self.background)}


def read_input(items: Sequence[InputItem]) -> Conversation:
    """Raises `ApiError` 400 for a conversation that a model would reject."""
    *earlier, newest = _told(items)
    place = f"input.{len(earlier)}"
    if newest["role"] != "user":
        raise refusal(f"{place}.role", "the last message must be the user's")
    if not newest["content"].strip():
        raise refusal(f"{place}.content", "the last message needs text")
    return Conversation(earlier=earlier, question=newest["content"])


def _told(items: Sequence[InputItem]) -> Iterator[dict[str, Any]]:
    for number, item in enumerate(items):
        place = f"input.{number}"
        if item.type != MESSAGE:
            sentence = f"only messages are accepted here, not {item.type[:40]!r}"
            raise refusal(f"{place}.type", sentence, "unsupported_content")
        if item.role not in ROLES:
            raise refusal(f"{place}.role", f"must be one of {', '.join(ROLES)}")
        yield {"role": item.role, "content": _text(item, place)}


def _text(item: InputItem, place: str) -> str:
    if item.content is None:
        raise refusal(f"{place}.content", "must be a string or a list of parts")
    return "\n".join(_words(part, f"{place}.content.{number}") for number, part in enumerate(item.content))


def _words(part: InputPart, place: str) -> str:
    if part.type not in TEXT_TYPES:
        sentence = f"only text is accepted here, not {part.type[:40]!r}; upload files with POST /api/files"
        raise refusal(f"{place}.type", sentence, "unsupported_content")
    if part.text is None:
        raise refusal(f"{place}.text", "must be a string")
    return part.text


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
        said += [*_own_messages(turn), {"role": "user", "content": turn.request.input or ""}]
        if answer := Transcript.of(await jobs.events(turn.id)).answer:
            said.append({"role": "assistant", "content": answer})
    return said


def _own_messages(job: Job) -> Sequence[Mapping[str, Any]]:
    """Drops the first message when it holds instructions, which apply to one response only."""
    messages: Sequence[Mapping[str, Any]] = job.request.arguments.get("messages") or []
    has_instructions = (job.request.arguments.get(ASKED) or {}).get("instructions")
    return messages[1:] if has_instructions else messages
