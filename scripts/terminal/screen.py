"""Writes to standard error while a job is followed: a line for each running step, notices, and the end."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from typing import TextIO, assert_never

from jobs import JobEvent
from jobs.events import (
    Artifact,
    EventPayload,
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
from scripts.terminal.answer import Answer
from scripts.terminal.words import bar, clipped, duration, one_line, size

MAX_LINES = 8
PLAIN_SECONDS = 5.0
"""The shortest time between two lines of progress for one step, without a terminal."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Progress, and when it was reported."""

    progress: Progress
    at: float


@dataclass(kw_only=True)
class Step:
    """A running step. Times are the server's Unix seconds."""

    name: str
    kind: str
    report: Report | None = None
    first: Report | None = None
    told_at: float = 0.0

    def progressed(self, report: Report) -> None:
        self.first = self.first or report
        self.report = report

    def left(self) -> float | None:
        """Returns the seconds that are left, at the pace so far."""
        if not self.report or not self.first or not self.report.progress.total:
            return None
        done = self.report.progress.done - self.first.progress.done
        if done <= 0:
            return None
        pace = (self.report.at - self.first.at) / done
        return pace * max(0.0, self.report.progress.total - self.report.progress.done)

    def line(self) -> str:
        if self.report is None:
            return f"{one_line(self.name)} …"
        done, total = self.report.progress.done, self.report.progress.total
        parts = [one_line(self.name), f"{bar(done / total)} {done / total:4.0%}" if total else f"{done:g}"]
        if (left := self.left()) is not None:
            parts.append(f"{duration(left)} left")
        return "  ".join([*parts, one_line(self.report.progress.message)])

    def sentence(self) -> str:
        assert self.report is not None
        progress, left = self.report.progress, self.left()
        done, total = progress.done, progress.total
        counted = f"{done:g} of {total:g}" if total else f"{done:g}"
        pace = "" if left is None else f", {duration(left)} left"
        return f"{self.name}: {counted}{pace}: {progress.message}"


class Lines:
    """Lines at the bottom of a terminal, erased before other text is printed; none without a terminal."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self.possible = err.isatty()
        self._drawn: list[str] = []

    def draw(self, lines: list[str]) -> None:
        """Draw the lines, each without line breaks and control characters."""
        if lines == self._drawn:
            return
        self.clear()
        columns = shutil.get_terminal_size().columns - 1
        self._err.write("".join(f"{clipped(line, columns)}\n" for line in lines))
        self._err.flush()
        self._drawn = lines

    def clear(self) -> None:
        if self._drawn:
            self._err.write(f"\x1b[{len(self._drawn)}A\x1b[J")
            self._err.flush()
            self._drawn = []


class Screen:
    """Shows a job's events, fed in order."""

    def __init__(self, job_id: str, *, out: TextIO, err: TextIO) -> None:
        self._job_id = job_id
        self._err = err
        self._shares_terminal = err.isatty() and out.isatty()
        self._lines = Lines(err)
        self._steps: dict[str, Step] = {}
        self._artifacts: dict[str, Artifact] = {}
        self._answer = Answer(out, self.notice, self._lines.clear)
        self._began_at: float | None = None

    def notice(self, sentence: str) -> None:
        self._lines.clear()
        if self._shares_terminal:
            self._answer.end_line()
        self._err.write(f"{one_line(sentence)}\n")
        self._err.flush()

    def feed(self, event: JobEvent) -> None:
        self._show(event, event.payload)
        self._answer.feed(event)
        self._draw()

    def _show(self, event: JobEvent, payload: EventPayload) -> None:
        match payload:
            case StepStarted():
                self._step_started(payload)
            case StepFinished(step=step):
                self._steps.pop(step, None)
            case Progress():
                self._progress(Report(progress=payload, at=event.at))
            case Log(level=level, message=message):
                self.notice(message if level == "info" else f"{level}: {message}")
            case Artifact(name=name):
                self._artifacts[name] = payload
            case JobQueued() | JobStarted() | JobCancelling():
                self._tell_state(payload, event.at)
            case TextDelta() | JobCompleted() | JobFailedEvent() | JobCancelled() | JobIncompleteEvent():
                pass  # shown by `Answer` and `end`
            case StepWaiting(until=until):
                self.notice(_waiting(until, event.at))
            case JobEdited() | Plan() | Source() | UnknownEvent():
                pass
            case _:
                assert_never(payload)

    def _tell_state(self, payload: JobQueued | JobStarted | JobCancelling, at: float) -> None:
        match payload:
            case JobQueued(position=position):
                if position:
                    self.notice(f"Waiting; {position} before it.")
            case JobStarted(attempt=attempt):
                self._started(attempt, at)
            case JobCancelling():
                self.notice("Stopping …")

    def _started(self, attempt: int, at: float) -> None:
        self._began_at = self._began_at or at
        self._steps.clear()
        if attempt > 1:
            self.notice("The job lost its worker; another one goes on from the last finished step.")

    def _step_started(self, started: StepStarted) -> None:
        self._steps[started.step] = Step(name=started.name, kind=started.kind)
        if started.kind == "tool" and not self._lines.possible:
            self.notice(f"{started.name} …")

    def _progress(self, report: Report) -> None:
        progress = report.progress
        step = self._steps.setdefault(progress.step or "", Step(name="job", kind="tool"))
        step.progressed(report)
        done = progress.total and progress.done >= progress.total
        if not self._lines.possible and (done or report.at - step.told_at >= PLAIN_SECONDS):
            step.told_at = report.at
            self.notice(step.sentence())

    def _draw(self) -> None:
        shown = [step for step in self._steps.values() if step.report or step.kind == "tool"]
        if not self._lines.possible:
            return
        lines = [step.line() for step in shown[:MAX_LINES]]
        if len(shown) > MAX_LINES:
            lines.append(f"… and {len(shown) - MAX_LINES} more")
        if lines and self._shares_terminal:
            self._answer.end_line()
        self._lines.draw(lines)

    def close(self) -> None:
        """Leave the terminal at the start of a line, as a shell expects."""
        self._lines.clear()
        self._answer.end_line()

    def end(self, event: JobEvent, reason: str | None) -> None:
        """Show the end. `event` is the terminal one; `reason` explains why a job is incomplete."""
        self.close()
        for name, artifact in self._artifacts.items():
            command = f"scripts/jobs get {self._job_id} {shlex.quote(name)}"
            self.notice(f"Made {name} ({size(artifact.size)}): {command}")
        again = f"Go on with: scripts/jobs retry {self._job_id}"
        match event.payload:
            case JobCompleted():
                self.notice(f"Completed in {duration(event.at - (self._began_at or event.at))}.")
            case JobFailedEvent(error=error):
                self.notice(f"Failed: {error['message']} {again}")
            case JobIncompleteEvent():
                self.notice(f"Incomplete: {reason} {again}")
            case JobCancelled(stopped=stopped):
                named = ", ".join(f"{one['name']} in {one['seconds']:.1f} s" for one in stopped)
                self.notice(f"Cancelled{f'; stopped {named}' if named else ''}.")


def _waiting(until: float | None, now: float) -> str:
    again = "" if until is None else f"; the next try is in {max(0.0, until - now):.0f} s"
    return f"Waiting for the model endpoint{again}."
