"""Pure renderings of an answer's pieces for chat completions: the chunks of a stream, or one object."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.answer import Ended, Failed, Piece, Reasoning, Replaced, Text
from api.errors import ApiError, openai_error
from api.openai.messages import tool_calls
from api.owned_answer import Abandoned
from api.stream import Frames, data_frame
from jobs import Job
from jobs.encoding import encode

DONE = b"data: [DONE]\n\n"

Batches = AsyncGenerator[Sequence[Piece], None]


class Withdrawn(Abandoned):
    """Text already sent was withdrawn, and this protocol cannot replace it."""

    def __init__(self) -> None:
        super().__init__(500, "answer_withdrawn", "The answer was interrupted and started again; ask again.")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The fields that all chunks of one answer share."""

    id: str
    created: int
    """Unix seconds."""
    model: str

    @classmethod
    def of(cls, job: Job, model: str) -> Envelope:
        return cls(id=f"chatcmpl-{job.id.removeprefix('job_')}", created=int(job.created_at), model=model)

    def around(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, **fields}


class ChunkWriter:
    """Renders batches of pieces, fed in order, as frames. `usage`: the caller asked for the tokens used."""

    def __init__(self, envelope: Envelope, *, usage: bool) -> None:
        self._envelope = envelope
        self._usage = usage
        self._sent: list[str] = []
        self._begun = False
        # Most chunks differ only in their text, so the JSON around it is encoded once.
        self._before, self._behind = self._chunk({"content": ""}).split(b'""')

    def feed(self, pieces: Sequence[Piece]) -> Iterator[bytes]:
        """Yields a batch's text as one chunk. Raises `ApiError` after the last text when the answer fails."""
        text = ""
        for piece in pieces:
            match piece:
                case Text():
                    text += piece.text
                case Reasoning():
                    yield self._opening() + self._words(text) + self._chunk({"reasoning_content": piece.text})
                    text = ""
                case Replaced():
                    text = self._behind_sent(piece.text)
                case Ended():
                    yield self._opening() + self._words(text) + self._end(piece)
                    return
                case Failed():
                    if text:
                        yield self._opening() + self._words(text)
                    raise piece.as_error()
        if text:
            yield self._opening() + self._words(text)

    def _behind_sent(self, whole: str) -> str:
        sent = "".join(self._sent)
        if not whole.startswith(sent):
            raise Withdrawn
        return whole[len(sent) :]

    def _opening(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _words(self, text: str) -> bytes:
        if not text:
            return b""
        self._sent.append(text)
        return self._before + encode(text) + self._behind

    def _end(self, end: Ended) -> bytes:
        last = b""
        if end.logprobs:
            last += self._chunk({}, logprobs=end.logprobs)
        if end.refusal:
            last += self._chunk({"refusal": end.refusal})
        if end.calls:
            calls = [{"index": at, **call} for at, call in enumerate(tool_calls(end.calls))]
            last += self._chunk({"tool_calls": calls})
        last += self._chunk({}, end.finish_reason)
        if not self._usage:
            return last + DONE
        usage = self._envelope.around("chat.completion.chunk", choices=[], usage=usage_of(end))
        return last + data_frame(usage) + DONE

    def _chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None, logprobs: Sequence[Any] = ()) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": _logprobs(logprobs), "finish_reason": finish_reason}
        usage = {"usage": None} if self._usage else {}
        return data_frame(self._envelope.around("chat.completion.chunk", choices=[choice], **usage))


async def chunks(batches: Batches, writer: ChunkWriter) -> Frames:
    """Raises `ApiError` when the answer fails."""
    async with contextlib.aclosing(batches):
        async for batch in batches:
            for frame in writer.feed(batch):
                yield frame


async def whole(batches: Batches, envelope: Envelope) -> Frames:
    """Yields one frame when the answer has ended: the JSON of a `chat.completion`. Raises `ApiError` when it fails."""
    async with contextlib.aclosing(batches):
        async for batch in batches:
            match batch[-1]:
                case Ended() as end:
                    yield encode(completion(envelope, end))
                case Failed() as failure:
                    raise failure.as_error()


def completion(envelope: Envelope, end: Ended) -> dict[str, Any]:
    content = end.text or None if end.calls or end.refusal else end.text
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": end.refusal or None}
    if end.reasoning:
        message["reasoning_content"] = end.reasoning
    if end.calls:
        message["tool_calls"] = tool_calls(end.calls)
    choice = {
        "index": 0,
        "message": message,
        "logprobs": _logprobs(end.logprobs),
        "finish_reason": end.finish_reason,
    }
    return envelope.around("chat.completion", choices=[choice], usage=usage_of(end))


def _logprobs(logprobs: Sequence[Any]) -> dict[str, Any] | None:
    return {"content": list(logprobs), "refusal": None} if logprobs else None


def usage_of(end: Ended) -> dict[str, Any] | None:
    if end.usage is None:
        return None
    read, wrote = end.usage["input_tokens"], end.usage["output_tokens"]
    usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
    if not (details := end.usage_details):
        return usage
    return {
        **usage,
        "prompt_tokens_details": {"cached_tokens": details["cached_tokens"]},
        "completion_tokens_details": {"reasoning_tokens": details["reasoning_tokens"]},
    }


def error_frame(error: ApiError) -> bytes:
    """Returns the last event of an answer that fails after its first words."""
    return data_frame({"error": openai_error(error.status, error.code, error.message, error.param)})
