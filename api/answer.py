"""The answer of a chat turn as pieces, which chat completions and Deep Chat each render in their format."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from api.errors import ApiError, of_failure
from jobs import Job, JobClient, JobEvent, JobNotFound
from jobs.events import (
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
    TextDelta,
    UnknownEvent,
)
from jobs.models import JSON
from jobs.transcript import Transcript

RESTARTING = ("unavailable", "The server is stopping; ask again in a moment.")
STOPPED = ("cancelled", "The answer was stopped.")
DELETED = ("not_found", "The job was deleted.")


class Text(NamedTuple):
    """The next text of the answer."""

    text: str


class Reasoning(NamedTuple):
    """The next piece of the model's reasoning. When the model begins again, no more of it is reported."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """A resumed step started again: `text` is now the whole answer, and text sent earlier may be wrong."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The answer is complete, or the model cut it off."""

    finish_reason: str
    """`stop`, `tool_calls`, `length` or `content_filter`."""
    text: str
    """The whole answer."""
    usage: Mapping[str, int] | None
    """{input_tokens, output_tokens}."""
    usage_details: Mapping[str, int] = field(default_factory=dict)
    """{cached_tokens, reasoning_tokens}, if the endpoint told them."""
    calls: Sequence[Mapping[str, str]] = ()
    """The calls for the caller to run: {id, name, arguments}, the arguments as JSON."""
    logprobs: Sequence[JSON] = ()
    refusal: str = ""
    """Why the model does not answer, in its words."""
    reasoning: str = ""
    """The model's reasoning."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The answer stopped before its end."""

    code: str
    message: str

    def as_error(self) -> ApiError:
        """Returns the error for a caller to whom nothing was sent yet."""
        return of_failure(self.code, self.message)


Piece = Text | Reasoning | Replaced | Ended | Failed


class AnswerPieces:
    """Turns a job's events, fed in order, into pieces. The last piece is `Ended` or `Failed`."""

    def __init__(self) -> None:
        self._transcript = Transcript()

    def feed(self, event: JobEvent) -> Piece | None:
        payload = event.payload
        change = self._transcript.feed(payload)
        if change is not None:
            return Replaced(text=self._transcript.answer) if change.withdrew else Text(change.text)
        match payload:
            case JobCompleted(result=result):
                return self._ended("stop", result)
            case JobIncompleteEvent(reason=reason, result=result):
                # OpenAI has no code for our limit.
                return self._ended("length" if reason == "too_long" else reason, result)
            case JobFailedEvent(error=error):
                return Failed(code=error["code"], message=error["message"])
            case JobCancelled():
                return Failed(code=STOPPED[0], message=STOPPED[1])
            case TextDelta(step=step, text=text):
                return Reasoning(text) if self._transcript.reasons(step, again=False) else None
            case StepStarted() | StepFinished():
                return None  # handled above
            case (
                JobQueued()
                | JobEdited()
                | JobStarted()
                | JobCancelling()
                | Progress()
                | Log()
                | StepWaiting()
                | Plan()
                | Source()
                | Artifact()
                | UnknownEvent()
            ):
                return None  # these front ends send only the answer
            case _:
                assert_never(payload)

    def _ended(self, finish_reason: str, result: JSON) -> Ended:
        calls = calls_of(result)
        return Ended(
            finish_reason="tool_calls" if calls and finish_reason == "stop" else finish_reason,
            text=self._transcript.answer,
            usage=self._transcript.usage,
            usage_details=usage_details_of(result),
            calls=calls,
            logprobs=result.get("logprobs") or () if isinstance(result, dict) else (),
            refusal=refusal_of(result),
            reasoning=self._transcript.reasoning,
        )


def calls_of(result: JSON) -> Sequence[Mapping[str, str]]:
    """Returns the calls for the caller of a model to run, from the job's result: {id, name, arguments}."""
    return result.get("tool_calls") or () if isinstance(result, dict) else ()


def refusal_of(result: JSON) -> str:
    """Returns why the model did not answer, from the result of its job or step; empty if it did."""
    return str(result.get("refusal") or "") if isinstance(result, dict) else ""


def reasoning_of(result: JSON) -> Mapping[str, str]:
    """Returns the field with the reasoning before a model's calls, from the job's result; empty if there is none."""
    return result.get("reasoning") or {} if isinstance(result, dict) else {}


def usage_details_of(result: JSON) -> Mapping[str, int]:
    """Returns {cached_tokens, reasoning_tokens} of a job's result; empty where the endpoint did not tell them."""
    return result.get("usage_details") or {} if isinstance(result, dict) else {}


async def follow_answer(jobs: JobClient, job: Job) -> AsyncGenerator[Sequence[Piece], None]:
    """Yields batches of pieces. The last one is `Ended` or `Failed`, even if the job is deleted or the server stops."""
    answer = AnswerPieces()
    ended = False
    try:
        async with contextlib.aclosing(jobs.follow(job.id, job.user)) as batches:
            async for batch in batches:
                pieces = [piece for event in batch if (piece := answer.feed(event)) is not None]
                ended = batch[-1].terminal
                if pieces:
                    yield pieces
    except JobNotFound:
        ended = True
        yield [Failed(code=DELETED[0], message=DELETED[1])]
    if not ended:
        yield [Failed(code=RESTARTING[0], message=RESTARTING[1])]
