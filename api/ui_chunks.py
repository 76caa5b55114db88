"""A job as a UI message of the AI SDK: a pure function from the events of its log to the chunks of the stream.

The same log yields the same chunks, whenever and in whatever batches it is read, so a number always means the same
chunk. The shapes are those of https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, assert_never
from urllib.parse import quote

from jobs import JobEvent
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
    Terminal,
    TextDelta,
    UnknownEvent,
)
from jobs.transcript import AnswerChange, Transcript

Chunk = dict[str, Any]

FINISH_REASONS: Mapping[str, str] = {"length": "length", "too_long": "length", "content_filter": "content-filter"}
"""The SDK's codes for an answer that ended early; all other reasons are `other`."""


class UiChunks:
    """Feed the events of a log in order from the first."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._transcript = Transcript()
        self._step: str | None = None  # the step that started the message's current step
        self._begun: set[str] = set()  # the steps that have started one
        self._numbers = 0  # of started message steps
        self._open: dict[str, str] = {}  # step → id of its open text part
        self._texts: dict[str, list[str]] = {}  # step → ids of the text parts of its attempt
        self._reasoning: dict[str, str] = {}  # step → id of its open part of reasoning
        self._others = False  # whether the message's current step holds more than the text of that step
        self._announced: dict[str, int] = {}  # tool's step → number of the message step that shows its call
        self._parts = 0  # of text
        self._sources = 0

    def feed(self, event: JobEvent) -> list[Chunk]:
        """Returns the chunks that the event adds."""
        first = event.seq == 1
        return [*(self._begin() if first else ()), *self._chunks(event)]

    def _begin(self) -> Iterator[Chunk]:
        yield {"type": "start", "messageId": self._job_id, "messageMetadata": {"jobId": self._job_id}}

    def _chunks(self, event: JobEvent) -> Iterator[Chunk]:
        payload = event.payload
        change = self._transcript.feed(payload)
        if change is not None:
            yield from self._change(change)
        match payload:
            case TextDelta():
                yield from self._reason(payload)
            case StepStarted():
                yield from self._start(payload)
            case StepFinished():
                yield from self._finish(payload)
            case Progress() | Plan():
                yield self._report(payload)
            case Artifact(name=name, mime=mime):
                self._others = True
                yield {"type": "file", "url": f"/api/jobs/{self._job_id}/artifacts/{quote(name)}", "mediaType": mime}
            case Source():
                yield self._source(payload)
            case JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                yield from self._end(payload)
            case JobQueued() | JobEdited() | JobStarted() | JobCancelling() | Log() | StepWaiting() | UnknownEvent():
                pass  # not part of a message
            case _:
                assert_never(payload)

    def _change(self, change: AnswerChange) -> Iterator[Chunk]:
        step = change.step
        if change.withdrew:
            yield from self._withdraw(step)
        if not change.text:
            return
        if step not in self._open:
            part = self._open[step] = self._next_part()
            self._texts.setdefault(step, []).append(part)
            self._others |= step != self._step
            yield {"type": "text-start", "id": part}
        yield {"type": "text-delta", "id": self._open[step], "delta": change.text}

    def _next_part(self) -> str:
        self._parts += 1
        return f"text-{self._parts}"

    def _withdraw(self, step: str) -> Iterator[Chunk]:
        """The SDK can withdraw only the message's whole current step. Otherwise the chunks name the withdrawn parts."""
        open_part, parts = self._open.pop(step, None), self._texts.pop(step, [])
        if step == self._step and not self._others:
            self._reasoning.clear()
            yield {"type": "reset-step"}
            return
        if open_part is not None:
            yield {"type": "text-end", "id": open_part}
        self._others |= bool(parts)  # a reset would also withdraw these notes
        for part in parts:
            yield {"type": "data-withdrawn", "data": {"id": part}}

    def _start(self, started: StepStarted) -> Iterator[Chunk]:
        if started.kind == "reasoning":
            yield from self._start_reasoning(started.step)
        elif started.kind == "tool" and self._is_shown(started.parent):
            yield from self._announce(started)
        elif self._transcript.steps[started.step].in_answer and started.step not in self._begun:
            yield from self._close_step()
            self._step, self._others = started.step, False
            self._begun.add(started.step)
            self._numbers += 1
            yield {"type": "start-step"}

    def _start_reasoning(self, step: str) -> Iterator[Chunk]:
        """What a model wrote in vain stays, and a later try is not shown: the SDK cannot withdraw it."""
        yield from self._end_reasoning(step)
        if self._transcript.reasons(step, again=False):
            part = self._reasoning[step] = f"reasoning-{step}"
            yield {"type": "reasoning-start", "id": part}

    def _reason(self, delta: TextDelta) -> Iterator[Chunk]:
        if delta.step in self._reasoning:
            yield {"type": "reasoning-delta", "id": self._reasoning[delta.step], "delta": delta.text}

    def _end_reasoning(self, step: str) -> Iterator[Chunk]:
        if (part := self._reasoning.pop(step, None)) is not None:
            yield {"type": "reasoning-end", "id": part}

    def _is_shown(self, parent: str | None) -> bool:
        """Whether a call belongs to the job or to a model call of its answer, and not to another tool call."""
        return not parent or ((step := self._transcript.steps.get(parent)) is not None and step.in_answer)

    def _announce(self, started: StepStarted) -> Iterator[Chunk]:
        """A tool's call, unless the same step of the message already shows it because the call started again."""
        if self._announced.get(started.step) == self._numbers:
            return
        self._announced[started.step], self._others = self._numbers, True
        yield {
            "type": "tool-input-available",
            "toolCallId": started.step,
            "toolName": started.name,
            "input": started.input or {},
            "dynamic": True,
            "providerExecuted": True,
        }

    def _finish(self, finished: StepFinished) -> Iterator[Chunk]:
        yield from self._end_reasoning(finished.step)
        if (part := self._open.pop(finished.step, None)) is not None:
            yield {"type": "text-end", "id": part}
        step = self._transcript.steps.get(finished.step)
        if step is None or finished.step not in self._announced:
            return
        yield from self._announce(step.started)
        told = {"toolCallId": finished.step, "dynamic": True, "providerExecuted": True}
        if finished.error is not None:
            yield {"type": "tool-output-error", **told, "errorText": _sentence(finished.error)}
        else:
            yield {"type": "tool-output-available", **told, "output": finished.output}

    def _close_step(self) -> Iterator[Chunk]:
        for step in [*self._reasoning]:
            yield from self._end_reasoning(step)
        for part in self._open.values():
            yield {"type": "text-end", "id": part}
        self._open.clear()
        if self._step is not None:
            yield {"type": "finish-step"}

    def _source(self, source: Source) -> Chunk:
        self._sources += 1
        self._others = True
        told: Chunk = {"sourceId": f"source-{self._sources}", "title": source.title}
        if source.url is not None:
            return {"type": "source-url", **told, "url": source.url}
        return {"type": "source-document", **told, "mediaType": "application/octet-stream"}

    def _report(self, report: Progress | Plan) -> Chunk:
        """A part that the next part with its id replaces."""
        self._others = True
        if isinstance(report, Plan):
            return {"type": "data-plan", "id": f"plan-{report.step}", "data": {"items": report.items}}
        data = {"done": report.done, "total": report.total, "message": report.message}
        return {"type": "data-progress", "id": f"progress-{report.step}", "data": data}

    def _end(self, end: Terminal) -> Iterator[Chunk]:
        yield from self._close_step()
        metadata: Chunk = {"jobId": self._job_id, "usage": self._transcript.usage}
        match end:
            case JobCompleted():
                reason = "stop"
            case JobIncompleteEvent(reason=why):
                reason = FINISH_REASONS.get(why, "other")
            case JobFailedEvent(error=error):
                reason = "error"
                yield {"type": "error", "errorText": error["message"]}
            case JobCancelled():
                reason = "other"
                yield {"type": "abort", "reason": "The job was stopped."}
            case _:
                assert_never(end)
        yield {"type": "finish", "finishReason": reason, "messageMetadata": metadata}


def _sentence(error: Any) -> str:
    return str(error["message"]) if isinstance(error, dict) and "message" in error else "The tool failed."
