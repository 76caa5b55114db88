"""What a response is asked: the request's shape, and the conversation that it goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field

from api.errors import ApiError
from api.openai.messages import MOST_MESSAGES, MOST_PARTS, Conversation, few_parts, refusal
from api.openai.response_events import ASKED
from api.submit import CHAT
from jobs import Job, JobClient
from jobs.encoding import encode
from jobs.transcript import Transcript

ROLES = ("system", "developer", "user", "assistant")
MESSAGE = "message"
MOST_METADATA = 16
TEXT_TYPES = frozenset({"input_text", "output_text", "text"})
ECHOED = ("background", "instructions", "metadata", "previous_response_id", "temperature", "top_p", "max_output_tokens")


class InputPart(BaseModel):
    """Text, or something that is refused with its type."""

    model_config = ConfigDict(strict=True)

    type: str = Field(examples=["input_text"])
    text: str | None = None


def _as_parts(value: Any) -> Any:
    """A string is one part: errors then name the field, and not the kinds it might have been."""
    if isinstance(value, str):
        return [{"type": "input_text", "text": value}]
    if value is not None and not isinstance(value, list):
        raise ValueError("must be a string or a list of parts")
    return value


Content = Annotated[
    list[InputPart] | None,
    FailFast(),
    Field(max_length=MOST_PARTS),
    BeforeValidator(_as_parts, json_schema_input_type=str | list[InputPart] | None),
]


class InputItem(BaseModel):
    """A message, said or answered; anything else is refused with its type."""

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
    """Counted first: every wrong value of a mapping becomes an error of its own."""
    if isinstance(value, dict) and len(value) > MOST_METADATA:
        raise ValueError(f"must have {MOST_METADATA} entries at most")
    return value


Input = Annotated[
    list[InputItem],
    FailFast(),
    Field(min_length=1, max_length=MOST_MESSAGES),
    BeforeValidator(_as_items, json_schema_input_type=str | list[InputItem]),
]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=MOST_METADATA),
    BeforeValidator(_few),
]


class NewResponse(BaseModel):
    """What else OpenAI's clients send is ignored."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"examples": [{"model": "gpt-5-mini", "input": "Hello", "background": True, "stream": True}]},
    )

    model: str | None = Field(None, max_length=200, description="One of `GET /v1/models`.")
    input: Input
    instructions: str | None = Field(None, description="Told to the model before everything else.")
    stream: bool | None = None
    background: bool | None = Field(None, description="It goes on when the caller leaves.")
    metadata: Metadata | None = Field(None, description="Given back as it is.")
    previous_response_id: str | None = Field(None, max_length=200, description="Go on from this answer.")
    temperature: float | None = Field(None, description="Taken and told back, but ignored, as are the two below.")
    top_p: float | None = None
    max_output_tokens: int | None = None

    def asked(self) -> dict[str, Any]:
        """What the response tells back, as its job keeps it."""
        kept = {name: getattr(self, name) for name in ECHOED}
        return {**{name: value for name, value in kept.items() if value}, "background": bool(self.background)}


def read_input(items: Sequence[InputItem]) -> Conversation:
    """Raises `ApiError` 400 for what no model could be told."""
    *earlier, newest = _told(items)
    place = f"input.{len(earlier)}"
    if newest["role"] != "user":
        raise refusal(f"{place}.role", "the last message must be the user's")
    if not newest["content"].strip():
        raise refusal(f"{place}.content", "the last message needs words")
    return Conversation(earlier=earlier, question=newest["content"])


def _told(items: Sequence[InputItem]) -> Iterator[dict[str, Any]]:
    for number, item in enumerate(items):
        place = f"input.{number}"
        if item.type != MESSAGE:
            sentence = f"only messages can be read here, no {item.type[:40]!r}"
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
        sentence = f"only text can be read here, no {part.type[:40]!r}; put files up with POST /api/files"
        raise refusal(f"{place}.type", sentence, "unsupported_content")
    if part.text is None:
        raise refusal(f"{place}.text", "must be a string")
    return part.text


def check_length(messages: Sequence[Mapping[str, Any]], *, most_bytes: int) -> None:
    """Each response keeps all that was said before it. Raises `ApiError` 400 for more than one request may bring."""
    if len(messages) > MOST_MESSAGES or len(encode(messages)) > most_bytes:
        message = "The conversation has become too long; begin a new one, with what matters of this one as its input."
        raise ApiError(400, "context_length_exceeded", message, param="previous_response_id")


async def conversation_of(jobs: JobClient, job: Job) -> list[Mapping[str, Any]]:
    """All that was said up to the job's answer, whichever door it came in by; without its instructions."""
    turns = await jobs.thread_jobs(job.thread_id) if job.thread_id else []
    earlier = [turn for turn in turns if turn.turn < job.turn and turn.request.task == CHAT]
    said: list[Mapping[str, Any]] = []
    for turn in (*earlier, job):
        said += [*_brought_along(turn), {"role": "user", "content": turn.request.input or ""}]
        if answer := Transcript.of(await jobs.events(turn.id)).answer:
            said.append({"role": "assistant", "content": answer})
    return said


def _brought_along(job: Job) -> Sequence[Mapping[str, Any]]:
    """Instructions hold for one response: they are the first message, and are not passed on to the next."""
    messages: Sequence[Mapping[str, Any]] = job.request.arguments.get("messages") or []
    has_instructions = (job.request.arguments.get(ASKED) or {}).get("instructions")
    return messages[1:] if has_instructions else messages
