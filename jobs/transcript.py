"""A log folded event by event: the answer, the steps, the artifacts, the usage, the end.

The page, the API, the terminal, thread history, the search and the stored answer are views of this one fold.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from jobs.events import (
    Artifact,
    EventPayload,
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobEdited,
    JobEvent,
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


class AnswerChange(NamedTuple):
    """The change that an event made to the answer."""

    step: str
    withdrew: bool
    """Whether the step's earlier text left the answer."""
    text: str
    """The text that the step adds; empty if it only withdrew."""


@dataclass(kw_only=True)
class StepRecord:
    """The present state of a step."""

    started: StepStarted
    """The last start."""
    finished: StepFinished | None = None
    """The checkpoint; None while the step runs or after an interruption."""
    pieces: list[str] = field(default_factory=list)
    """The step's text, if it is part of the answer."""
    waits: int = 0
    """How often it has waited for something outside."""
    withdrawn: bool = False
    """Whether the pieces are of an earlier attempt. They stay until the new one adds text or ends."""

    @property
    def in_answer(self) -> bool:
        """Whether the step's text is part of the answer, unlike that inside of parts and tools."""
        return self.started.kind in ("model", "text") and not self.started.parent


def reasoning_path(call: str, number: int = 0) -> str:
    """Returns the path of a step with reasoning of a model's call. A model may reason again after some text."""
    return f"{call}/reasoning:{number}" if number else f"{call}/reasoning"


class Transcript:
    """Feed the payloads of a log in order, from its beginning.

    A repeated `step.started` withdraws the step's text. So that a screen never goes blank, the withdrawal takes effect
    at the new attempt's first text, or when the step finishes without any.
    """

    def __init__(self) -> None:
        self.steps: dict[str, StepRecord] = {}
        """By path, in the order of first starts."""
        self.finished_below: set[str] = set()
        """The paths above finished steps, which need be no steps themselves: `map:2` of `map:2/part:0`."""
        self.progress: Progress | None = None
        """The last report."""
        self.artifacts: dict[str, Artifact] = {}
        """The newest of each name."""
        self.sources: dict[Source, None] = {}
        """Those that the steps have used, each once."""
        self.waiting: StepWaiting | None = None
        """The reason of the wait, if the job's last event is one."""
        self.end: Terminal | None = None
        self.heard_at: float | None = None
        """Unix seconds of the last event; only in a summary."""
        self.stalled_at: float | None = None
        """Unix seconds: from then on a running job is stalled, unless it says something; only in a summary."""
        self.reported_at: float | None = None
        """Unix seconds of the last report of progress; only in a summary."""
        self._spent: dict[str, int] = {}

    @classmethod
    def of(cls, events: Iterable[JobEvent]) -> Transcript:
        transcript = cls()
        transcript.feed_all(events)
        return transcript

    def feed_all(self, events: Iterable[JobEvent]) -> None:
        for event in events:
            self.feed(event.payload)

    @property
    def answer(self) -> str:
        """The text of models and of the agent itself, not that inside of other steps, in order."""
        return "".join(piece for step in self.steps.values() for piece in step.pieces)

    @property
    def usage(self) -> Mapping[str, int] | None:
        """{input_tokens, output_tokens}: as the end states, else the sum over the steps."""
        told = self.end.usage if isinstance(self.end, JobCompleted) else None
        return told or self._spent or None

    def reasons(self, path: str, *, again: bool = True) -> bool:
        """Whether the step is the reasoning of a model's call in the answer, with `again` also in a later try."""
        step = self.steps.get(path)
        if step is None or step.started.kind != "reasoning" or (step.started.attempt > 1 and not again):
            return False
        return (call := self.steps.get(step.started.parent or "")) is not None and call.in_answer

    def reasoning_of(self, call: str) -> list[str]:
        """Returns the paths of the steps with the reasoning of a model's call."""
        paths = (reasoning_path(call, number) for number in itertools.count())
        return list(itertools.takewhile(self.steps.__contains__, paths))

    @property
    def reasoning(self) -> str:
        """The reasoning of the models' parts of the answer, as far as it has ended."""
        texts = (self._reasoning_of(call) for call, step in self.steps.items() if step.in_answer)
        return "\n\n".join(filter(None, texts))

    def _reasoning_of(self, call: str) -> str:
        ends = map(self.finished, self.reasoning_of(call))
        return "".join([end.output["text"] for end in ends if end is not None])

    def finished(self, path: str) -> StepFinished | None:
        """The step's checkpoint."""
        return step.finished if (step := self.steps.get(path)) is not None else None

    def feed(self, payload: EventPayload) -> AnswerChange | None:
        """Returns the change of the answer, if any."""
        self.waiting = None
        match payload:
            case TextDelta():
                return self._say(payload)
            case StepStarted():
                self._start(payload)
            case StepFinished():
                return self._finish(payload)
            case JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                self.end = payload
            case JobQueued() | JobEdited() | JobStarted() | JobCancelling() | UnknownEvent():
                pass
            case StepWaiting():
                self._wait(payload)
            case Progress() | Artifact() | Source():
                self._keep(payload)
            case Log() | Plan():
                pass
            case _:
                assert_never(payload)
        return None

    def _keep(self, report: Progress | Artifact | Source) -> None:
        match report:
            case Progress():
                self.progress = report
            case Artifact():
                self.artifacts[report.name] = report
            case Source():
                self.sources[report] = None

    def _wait(self, waiting: StepWaiting) -> None:
        self.waiting = waiting
        if (step := self.steps.get(waiting.step)) is not None:
            step.waits += 1

    def _start(self, started: StepStarted) -> None:
        step = self.steps.setdefault(started.step, StepRecord(started=started))
        step.started, step.finished = started, None
        step.withdrawn = bool(step.pieces)
        for path in self.reasoning_of(started.step):
            self.steps[path].finished = None

    def _say(self, delta: TextDelta) -> AnswerChange | None:
        step = self.steps.get(delta.step)
        if step is None or not step.in_answer:
            return None
        withdrew = step.withdrawn and _withdraw(step)
        step.pieces.append(delta.text)
        return AnswerChange(delta.step, withdrew, delta.text)

    def _finish(self, finished: StepFinished) -> AnswerChange | None:
        step = self.steps.get(finished.step)
        if step is None:
            return None
        step.finished = finished
        self.finished_below.add(finished.step.rpartition("/")[0])
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
