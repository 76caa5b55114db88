"""What a log says, folded event by event: the answer, the steps, the files, what was used, the end.

Page, API, terminal, thread history, search and the stored answer are views of this one fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from jobs.events import (
    Artifact,
    EventPayload,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobEvent,
    JobFailedEvent,
    JobIncompleteEvent,
    JobQueued,
    JobStarted,
    Log,
    Progress,
    StepFinished,
    StepStarted,
    Terminal,
    TextDelta,
    UnknownEvent,
)


@dataclass(frozen=True, kw_only=True)
class AnswerChange:
    """What an event did to the answer."""

    step: str
    withdrew: bool
    """The text that the step had said is no part of the answer any more."""
    text: str
    """What the step says next; empty when it only withdrew."""


@dataclass(kw_only=True)
class StepRecord:
    """A step as the log has it now."""

    started: StepStarted
    """Its last start."""
    finished: StepFinished | None = None
    """Its checkpoint; None while it runs, or after it was interrupted."""
    pieces: list[str] = field(default_factory=list)
    """Its text, if that is part of the answer."""
    withdrawn: bool = False
    """The pieces are of an earlier attempt, and stay until the new one says something or ends."""

    @property
    def in_answer(self) -> bool:
        """Text of parts, tools and the calls inside them is no part of the answer."""
        return self.started.kind == "model" and not self.started.parent


class Transcript:
    """Feed the payloads of a log in order, from its beginning.

    A repeated `step.started` withdraws the step's text. What was read stays until the new attempt's first text, so
    that a screen never goes blank: the withdrawal takes effect at that text, or when the step ends without any.
    """

    def __init__(self) -> None:
        self.steps: dict[str, StepRecord] = {}
        """By path, in the order of their first starts."""
        self.progress: Progress | None = None
        """The last report."""
        self.artifacts: dict[str, Artifact] = {}
        """By name, each the newest."""
        self.end: Terminal | None = None
        self._spent: dict[str, int] = {}

    @classmethod
    def of(cls, events: Iterable[JobEvent]) -> Transcript:
        transcript = cls()
        for event in events:
            transcript.feed(event.payload)
        return transcript

    @property
    def answer(self) -> str:
        """The text of the top-level model steps, in their order."""
        return "".join(piece for step in self.steps.values() for piece in step.pieces)

    @property
    def usage(self) -> Mapping[str, int] | None:
        """{input_tokens, output_tokens}. An answer that is cut off has no sum of its own: what its steps used."""
        told = self.end.usage if isinstance(self.end, JobCompleted) else None
        return told or self._spent or None

    def finished(self, path: str) -> StepFinished | None:
        """The step's checkpoint."""
        return step.finished if (step := self.steps.get(path)) is not None else None

    def feed(self, payload: EventPayload) -> AnswerChange | None:
        """Returns what changed in the answer, if anything did."""
        match payload:
            case TextDelta():
                return self._say(payload)
            case StepStarted():
                self._start(payload)
            case StepFinished():
                return self._finish(payload)
            case Progress():
                self.progress = payload
            case Artifact():
                self.artifacts[payload.name] = payload
            case JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                self.end = payload
            case JobQueued() | JobStarted() | JobCancelling() | Log() | UnknownEvent():
                pass
            case _:
                assert_never(payload)
        return None

    def _start(self, started: StepStarted) -> None:
        step = self.steps.setdefault(started.step, StepRecord(started=started))
        step.started, step.finished = started, None
        step.withdrawn = bool(step.pieces)

    def _say(self, delta: TextDelta) -> AnswerChange | None:
        step = self.steps.get(delta.step)
        if step is None or not step.in_answer:
            return None
        withdrew = _withdraw(step)
        step.pieces.append(delta.text)
        return AnswerChange(step=delta.step, withdrew=withdrew, text=delta.text)

    def _finish(self, finished: StepFinished) -> AnswerChange | None:
        step = self.steps.get(finished.step)
        if step is None:
            return None
        step.finished = finished
        if step.in_answer:
            self._count(finished)
        return AnswerChange(step=finished.step, withdrew=True, text="") if _withdraw(step) else None

    def _count(self, finished: StepFinished) -> None:
        usage = finished.output.get("usage") if isinstance(finished.output, dict) else None
        for name, count in (usage or {}).items():
            self._spent[name] = self._spent.get(name, 0) + count


def _withdraw(step: StepRecord) -> bool:
    withdrew, step.withdrawn = step.withdrawn, False
    if withdrew:
        step.pieces.clear()
    return withdrew
