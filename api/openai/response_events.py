"""A job as an OpenAI response: a pure function from the events of its log to the events of the Responses stream.

The same log yields the same events, whenever and in whatever batches it is read, so `starting_after` is exact. The
shapes are those of https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from api.answer import calls_of, refusal_of, usage_details_of
from api.stream import Frames
from jobs import Job, JobEvent, JobNotFound
from jobs.encoding import encode
from jobs.events import (
    TERMINAL,
    Artifact,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobEdited,
    JobFailedEvent,
    JobIncompleteEvent,
    JobQueued,
    JobStarted,
    Log,
    Plan,
    Progress,
    Source,
    StepFinished,
    StepStarted,
    StepWaiting,
    Terminal,
    TextDelta,
    UnknownEvent,
)
from jobs.transcript import Transcript

Payload = dict[str, Any]

ASKED = "response"
"""The job argument that keeps the request's fields apart from the conversation."""
UNASKED: Mapping[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_logprobs": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "truncation": "disabled",
    "reasoning": None,
    "store": True,
    "service_tier": "default",
    "safety_identifier": None,
    "prompt_cache_key": None,
    "user": None,
}
"""The request's fields that a response repeats → their values if the request had none."""
RESPONSE_ID = re.compile(r"resp_([0-9a-f]{24})")
JOB_ID = re.compile(r"job_([0-9a-f]{24})")
ERROR_CODES: Mapping[str, str] = {"model_rate_limited": "rate_limit_exceeded"}
"""Our code → OpenAI's, which has only a few. Every other failure is a `server_error`, explained by its message."""
REASONS: Mapping[str, str] = {
    "length": "max_output_tokens",
    "too_long": "max_output_tokens",
    "content_filter": "content_filter",
}
ENDS: Mapping[str, str] = {
    "completed": "response.completed",
    "failed": "response.failed",
    "incomplete": "response.incomplete",
    "cancelled": "response.incomplete",  # OpenAI's stream has no event for a cancel
}
"""Final status → type of the last event."""
DELETED = ("not_found", "The response was deleted.")


def job_id_of(response_id: str) -> str | None:
    """Returns None for an id that no response can have."""
    match = RESPONSE_ID.fullmatch(response_id)
    return f"job_{match[1]}" if match else None


def response_id_of(job_id: str) -> str | None:
    match = JOB_ID.fullmatch(job_id)
    return f"resp_{match[1]}" if match else None


def frame(payload: Payload) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (payload["type"].encode(), encode(payload))


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The fields of a response that stay the same from the first event to the last."""

    id: str
    created_at: int
    """Unix seconds. The specification wants whole ones, and clients check it."""
    model: str
    background: bool
    instructions: str | None
    metadata: Mapping[str, str]
    previous_response_id: str | None
    asked: Mapping[str, Any]
    """Other fields of the request, which are returned unchanged."""

    @classmethod
    def of(cls, job: Job, *, model: str) -> Heading:
        """A job of another API counts as a background response; one that names no model has `model`."""
        asked = job.request.arguments.get(ASKED) or {}
        return cls(
            id=str(response_id_of(job.id)),
            created_at=int(job.created_at),
            model=asked.get("model") or (job.request.task if job.request.agent else job.request.model or model),
            background=asked.get("background", True),
            instructions=asked.get("instructions"),
            metadata=asked.get("metadata") or {},
            previous_response_id=asked.get("previous_response_id"),
            asked={name: asked.get(name, unasked) for name, unasked in UNASKED.items()}
            | {"text": {"format": {"type": "text"}, **(asked.get("text") or {})}},
        )


@dataclass(kw_only=True)
class Message:
    """One item of the output: the text of one step."""

    id: str
    index: int
    """Its position among all items ever opened, withdrawn ones included."""
    pieces: list[str] = field(default_factory=list)
    status: str = "in_progress"
    logprobs: Sequence[Any] = ()
    refusal: str = ""

    def place(self, part: int = 0) -> Payload:
        """The fields with which the stream's events identify a part of it."""
        return {"item_id": self.id, "output_index": self.index, "content_index": part}

    def parts(self) -> list[Payload]:
        """Its text, if it has any, and its refusal, if it has one; one of them always."""
        text = [self.text()] if self.pieces or not self.refusal else []
        return [*text, {"type": "refusal", "refusal": self.refusal}] if self.refusal else text

    def text(self) -> Payload:
        text = "".join(self.pieces)
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(self.logprobs)}

    def as_json(self, *, empty: bool = False) -> Payload:
        content = [] if empty else self.parts()
        return {"id": self.id, "type": "message", "role": "assistant", "status": self.status, "content": content}


class ReasoningItem(Message):
    """What a model wrote before its message."""

    def text(self) -> Payload:
        return {"type": "reasoning_text", "text": "".join(self.pieces)}

    def as_json(self, *, empty: bool = False) -> Payload:
        content = [] if empty else self.parts()
        return {"id": self.id, "type": "reasoning", "status": self.status, "summary": [], "content": content}


class ResponseEvents:
    """Renders a log, fed in order from its first event. `response()` returns the response's current state."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._transcript = Transcript()
        self._messages: dict[str, Message] = {}  # by step, without withdrawn ones; reasoning is one of its own
        self._calls: list[Payload] = []  # the calls for the caller to run, once the job has ended
        self._opened = 0
        self._number = 0
        self._status = "queued" if heading.background else "in_progress"
        self._begun = False
        self._ended_at: int | None = None

    def feed_all(self, events: Iterable[JobEvent]) -> None:
        """Takes events for the response that they make, and not for its stream."""
        for event in events:
            self.feed(event)

    def feed(self, event: JobEvent) -> list[Payload]:
        """Returns the stream's events for one event of the log, each with its `sequence_number`."""
        return [self._numbered(payload) for payload in self._payloads(event)]

    @property
    def end(self) -> Terminal | None:
        """How the job ended."""
        return self._transcript.end

    def error(self, code: str, message: str) -> Payload:
        """Returns the last event of a stream that ends before its response."""
        return self._numbered({"type": "error", "code": code, "message": message, "param": None})

    def response(self) -> Payload:
        """Returns OpenAI's Response object."""
        heading, end = self._heading, self.end
        reason = REASONS.get(end.reason) if isinstance(end, JobIncompleteEvent) else None
        return {
            "id": heading.id,
            "object": "response",
            "created_at": heading.created_at,
            "completed_at": self._ended_at if self._status == "completed" else None,
            "status": self._status,
            "background": heading.background,
            "error": _error(end.error if isinstance(end, JobFailedEvent) else None),
            "incomplete_details": {"reason": reason} if reason else None,
            "instructions": heading.instructions,
            "metadata": dict(heading.metadata),
            "model": heading.model,
            "output": [*(message.as_json() for message in self._messages.values()), *self._calls],
            "previous_response_id": heading.previous_response_id,
            "usage": _usage(self._transcript.usage if end is not None else None, _details(end)),
            **heading.asked,
        }

    def _numbered(self, payload: Payload) -> Payload:
        payload["sequence_number"] = self._number
        self._number += 1
        return payload

    def _payloads(self, event: JobEvent) -> Iterator[Payload]:
        if event.seq == 1:
            yield from self._create()
        payload = event.payload
        change = self._transcript.feed(payload)
        if change is not None and change.withdrew:
            yield from self._close(self._messages.pop(change.step), "incomplete")
        match payload:
            case TextDelta(step=step, text=text):
                if change is not None or self._transcript.reasons(step):
                    yield from self._write(step, text)
            case StepStarted(step=step):
                yield from self._withdraw_reasoning(step)
            case StepFinished():
                yield from self._end_step(payload)
            case JobStarted():
                yield from self._begin()
            case JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                yield from self._finish(payload, event.at)
            case (
                JobQueued()
                | JobEdited()
                | JobCancelling()
                | Progress()
                | Log()
                | StepWaiting()
                | Plan()
                | Source()
                | Artifact()
                | UnknownEvent()
            ):
                pass  # a response shows only its answer
            case _:
                assert_never(payload)

    def _create(self) -> Iterator[Payload]:
        yield self._lifecycle("response.created")
        if self._heading.background:
            yield self._lifecycle("response.queued")

    def _begin(self) -> Iterator[Payload]:
        if not self._begun:  # a takeover starts the job again, but not the response
            self._begun = True
            self._status = "in_progress"
            yield self._lifecycle("response.in_progress")

    def _write(self, step: str, text: str) -> Iterator[Payload]:
        yield from self._begin()  # a retry's log has the finished steps' text before `job.started`
        if step not in self._messages:
            yield from self._open(step)
            message = self._messages[step]
            yield {"type": "response.content_part.added", **message.place(), "part": message.text()}
        message = self._messages[step]
        message.pieces.append(text)
        if isinstance(message, ReasoningItem):
            yield {"type": "response.reasoning_text.delta", **message.place(), "delta": text}
        else:
            yield {"type": "response.output_text.delta", **message.place(), "delta": text, "logprobs": []}

    def _withdraw_reasoning(self, step: str) -> Iterator[Payload]:
        """The step that starts again is a model's call, or its reasoning."""
        for path in (step, *self._transcript.reasoning_of(step)):
            if isinstance(self._messages.get(path), ReasoningItem):
                yield from self._close(self._messages.pop(path), "incomplete")

    def _end_step(self, end: StepFinished) -> Iterator[Payload]:
        for path in self._transcript.reasoning_of(end.step):
            if (reasoning := self._messages.get(path)) is not None:
                yield from self._close(reasoning, "incomplete")
        record = self._transcript.steps.get(end.step)
        refusal = refusal_of(end.output) if record is not None and record.in_answer else ""
        if refusal and end.step not in self._messages:
            yield from self._open(end.step)
        if (message := self._messages.get(end.step)) is not None:
            message.refusal, message.logprobs = refusal, _logprobs(end.output)
            yield from self._close(message, "completed" if end.error is None else "incomplete")

    def _open(self, step: str) -> Iterator[Payload]:
        message = self._messages[step] = self._next(step)
        item = message.as_json(empty=True)
        yield {"type": "response.output_item.added", "output_index": message.index, "item": item}

    def _next(self, step: str) -> Message:
        index, self._opened = self._opened, self._opened + 1
        made = f"{self._heading.id.removeprefix('resp_')}{index:02x}"
        if self._transcript.reasons(step):
            return ReasoningItem(id=f"rs_{made}", index=index)
        return Message(id=f"msg_{made}", index=index)

    def _close(self, message: Message, status: str) -> Iterator[Payload]:
        if message.status != "in_progress":
            return
        message.status = status
        for number, part in enumerate(message.parts()):
            yield from _told(part, message.place(number))
        yield {"type": "response.output_item.done", "output_index": message.index, "item": message.as_json()}

    def _finish(self, end: Terminal, at: float) -> Iterator[Payload]:
        self._ended_at, status = int(at), TERMINAL[end.type].value
        for message in self._messages.values():
            yield from self._close(message, "completed" if status == "completed" else "incomplete")
        if isinstance(end, JobCompleted):
            for call in calls_of(end.result):
                yield from self._call(call)
        self._status = status
        yield self._lifecycle(ENDS[status])

    def _call(self, call: Mapping[str, str]) -> Iterator[Payload]:
        """A call is sent whole, because the caller may run it only once the model's step is recorded."""
        index, self._opened = self._opened, self._opened + 1
        item: Payload = {
            "id": f"fc_{self._heading.id.removeprefix('resp_')}{index:02x}",
            "type": "function_call",
            "status": "in_progress",
            "call_id": call["id"],
            "name": call["name"],
            "arguments": "",
        }
        place = {"item_id": item["id"], "output_index": index}
        arguments = {"arguments": call["arguments"]}
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.function_call_arguments.delta", **place, "delta": call["arguments"]}
        yield {"type": "response.function_call_arguments.done", **place, "name": call["name"], **arguments}
        done = {**item, "status": "completed", **arguments}
        self._calls.append(done)
        yield {"type": "response.output_item.done", "output_index": index, "item": done}

    def _lifecycle(self, kind: str) -> Payload:
        return {"type": kind, "response": self.response()}


def _told(part: Payload, place: Payload) -> Iterator[Payload]:
    """Yields the events that end a part. A refusal is told whole: the model's step has recorded it."""
    if part["type"] == "refusal":
        yield {"type": "response.content_part.added", **place, "part": {**part, "refusal": ""}}
        yield {"type": "response.refusal.delta", **place, "delta": part["refusal"]}
        yield {"type": "response.refusal.done", **place, "refusal": part["refusal"]}
    elif part["type"] == "reasoning_text":
        yield {"type": "response.reasoning_text.done", **place, "text": part["text"]}
    else:
        said = {"text": part["text"], "logprobs": part["logprobs"]}
        yield {"type": "response.output_text.done", **place, **said}
    yield {"type": "response.content_part.done", **place, "part": part}


def _logprobs(output: Any) -> Sequence[Any]:
    return output.get("logprobs") or () if isinstance(output, dict) else ()


def _error(failure: Mapping[str, str] | None) -> Payload | None:
    if failure is None:
        return None
    return {"code": ERROR_CODES.get(failure["code"], "server_error"), "message": failure["message"]}


def _details(end: Terminal | None) -> Mapping[str, int]:
    return usage_details_of(end.result) if isinstance(end, JobCompleted | JobIncompleteEvent) else {}


def _usage(spent: Mapping[str, int] | None, details: Mapping[str, int]) -> Payload | None:
    if spent is None:
        return None
    return {
        "input_tokens": spent["input_tokens"],
        "input_tokens_details": {"cached_tokens": details.get("cached_tokens", 0), "cache_write_tokens": 0},
        "output_tokens": spent["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": details.get("reasoning_tokens", 0)},
        "total_tokens": spent["input_tokens"] + spent["output_tokens"],
    }


async def frames(batches: AsyncGenerator[Sequence[JobEvent], None], heading: Heading, *, after: int) -> Frames:
    """Yields one frame per batch, without events up to `after`. The batches begin with the log's first event."""
    events = ResponseEvents(heading)
    try:
        async with contextlib.aclosing(batches):
            async for batch in batches:
                told = [payload for event in batch for payload in events.feed(event)]
                if unseen := b"".join(frame(one) for one in told if one["sequence_number"] > after):
                    yield unseen
    except JobNotFound:
        yield frame(events.error(*DELETED))
