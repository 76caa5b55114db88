"""The answer of a chat turn as pieces: what chat completions, Deep Chat and Responses each word their own way."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.errors import ApiError, of_failure
from jobs import Job, JobClient, JobEvent, JobNotFound
from jobs.answer import AnswerText

RESTARTING = ("unavailable", "The server is stopping; ask again in a moment.")
STOPPED = ("cancelled", "The answer was stopped.")
DELETED = ("not_found", "The job was deleted.")


@dataclass(frozen=True, kw_only=True)
class Text:
    """More of the answer."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """A resumed step began anew: the whole answer is this now, and what was sent of it before may be wrong."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The answer is whole, or cut off for a reason that is the model's."""

    finish_reason: str
    """`stop`, `length` or `content_filter`."""
    text: str
    usage: Mapping[str, int] | None
    """{input_tokens, output_tokens}."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """There will be no more, and it is not whole."""

    code: str
    message: str

    def as_error(self) -> ApiError:
        """For who has been told nothing yet."""
        return of_failure(self.code, self.message)


Piece = Text | Replaced | Ended | Failed


class AnswerPieces:
    """Feed the job's events in order. The last piece is `Ended` or `Failed`."""

    def __init__(self) -> None:
        self._answer = AnswerText()
        self._usage: Mapping[str, int] | None = None

    def feed(self, event: JobEvent) -> Piece | None:
        if event.type == "step.finished" and self._answer.shows(event):
            self._count(event.data.get("output"))
        withdrew = self._answer.feed(event)
        if withdrew:
            return Replaced(text=self._answer.text)
        if event.type == "text.delta" and self._answer.shows(event):
            return Text(text=event.data["text"])
        return self._end(event) if event.terminal else None

    def _count(self, output: Any) -> None:
        """An answer that is cut off has no sum of its own: what the model's steps spent."""
        if output and output["usage"]:
            spent = self._usage or {}
            self._usage = {name: spent.get(name, 0) + count for name, count in output["usage"].items()}

    def _end(self, event: JobEvent) -> Piece:
        match event.type:
            case "job.completed":
                return Ended(finish_reason="stop", text=self._answer.text, usage=event.data["usage"])
            case "job.incomplete":
                return Ended(finish_reason=str(event.data["reason"]), text=self._answer.text, usage=self._usage)
            case "job.failed":
                return Failed(code=event.data["error"]["code"], message=event.data["error"]["message"])
        return Failed(code=STOPPED[0], message=STOPPED[1])


async def follow_answer(jobs: JobClient, job: Job) -> AsyncGenerator[Sequence[Piece], None]:
    """Pages of pieces; the very last is an end, whatever happens to the job or to this process."""
    answer = AnswerPieces()
    ended = False
    try:
        async with contextlib.aclosing(jobs.follow(job.id, job.user)) as pages:
            async for page in pages:
                pieces = [piece for event in page if (piece := answer.feed(event)) is not None]
                ended = page[-1].terminal
                if pieces:
                    yield pieces
    except JobNotFound:
        ended = True
        yield [Failed(code=DELETED[0], message=DELETED[1])]
    if not ended:
        yield [Failed(code=RESTARTING[0], message=RESTARTING[1])]
