"""Standard error while a job is followed: a line for each running step, notices, and how it ended."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from typing import TextIO

from scripts.terminal.answer import Answer
from scripts.terminal.following import Event
from scripts.terminal.words import bar, clipped, duration, one_line, size

MOST_LINES = 8
PLAIN_SECONDS = 5.0
"""Progress without a terminal is told at most so often for each step."""


@dataclass(kw_only=True)
class Step:
    """A running step. Times are the server's Unix seconds."""

    name: str
    kind: str
    report: Event | None = None
    first: Event | None = None
    told_at: float = 0.0

    def progressed(self, event: Event) -> None:
        self.first = self.first or event
        self.report = event

    def left(self) -> float | None:
        """Seconds, by the pace so far."""
        if not self.report or not self.first or not self.report["total"]:
            return None
        done = self.report["done"] - self.first["done"]
        if done <= 0:
            return None
        pace = (self.report["at"] - self.first["at"]) / done
        return float(pace * max(0.0, self.report["total"] - self.report["done"]))

    def line(self) -> str:
        if self.report is None:
            return f"{one_line(self.name)} …"
        done, total = self.report["done"], self.report["total"]
        parts = [one_line(self.name), f"{bar(done / total)} {done / total:4.0%}" if total else f"{done:g}"]
        if (left := self.left()) is not None:
            parts.append(f"{duration(left)} left")
        return "  ".join([*parts, one_line(self.report["message"])])

    def sentence(self) -> str:
        assert self.report is not None
        done, total, left = self.report["done"], self.report["total"], self.left()
        counted = f"{done:g} of {total:g}" if total else f"{done:g}"
        pace = "" if left is None else f", {duration(left)} left"
        return f"{self.name}: {counted}{pace}: {self.report['message']}"


class Lines:
    """Lines at the bottom of a terminal, which give way to whatever is printed; nothing where there is none."""

    def __init__(self, err: TextIO) -> None:
        self._err = err
        self.possible = err.isatty()
        self._drawn: list[str] = []

    def draw(self, lines: list[str]) -> None:
        """Each must be one line, and harmless."""
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
    """Feed events in order."""

    def __init__(self, job_id: str, *, out: TextIO, err: TextIO) -> None:
        self._job_id = job_id
        self._err = err
        self._shares_terminal = err.isatty() and out.isatty()
        self._lines = Lines(err)
        self._steps: dict[str, Step] = {}
        self._artifacts: dict[str, Event] = {}
        self._answer = Answer(out, self.notice, self._lines.clear)
        self._began_at: float | None = None

    def notice(self, sentence: str) -> None:
        self._lines.clear()
        if self._shares_terminal:
            self._answer.end_line()
        self._err.write(f"{one_line(sentence)}\n")
        self._err.flush()

    def feed(self, event: Event) -> None:
        match event["type"]:
            case "step.started":
                self._step_started(event)
            case "step.finished":
                self._steps.pop(event["step"], None)
            case "progress":
                self._progress(event)
            case "log":
                self.notice(event["message"] if event["level"] == "info" else f"{event['level']}: {event['message']}")
            case "artifact":
                self._artifacts[event["name"]] = event
            case "job.started" | "job.queued" | "job.cancelling":
                self._told(event)
        self._answer.feed(event)
        self._draw()

    def _told(self, event: Event) -> None:
        if event["type"] == "job.cancelling":
            self.notice("Stopping …")
        elif event["type"] == "job.queued" and event["position"]:
            self.notice(f"Waiting; {event['position']} before it.")
        elif event["type"] == "job.started":
            self._began_at = self._began_at or event["at"]
            self._steps.clear()
            if event["attempt"] > 1:
                self.notice("Its worker was lost; another one goes on from the last finished step.")

    def _step_started(self, event: Event) -> None:
        self._steps[event["step"]] = Step(name=event["name"], kind=event["kind"])
        if event["kind"] == "tool" and not self._lines.possible:
            self.notice(f"{event['name']} …")

    def _progress(self, event: Event) -> None:
        step = self._steps.setdefault(event["step"] or "", Step(name="job", kind="tool"))
        step.progressed(event)
        done = event["total"] and event["done"] >= event["total"]
        if not self._lines.possible and (done or event["at"] - step.told_at >= PLAIN_SECONDS):
            step.told_at = event["at"]
            self.notice(step.sentence())

    def _draw(self) -> None:
        shown = [step for step in self._steps.values() if step.report or step.kind == "tool"]
        if not self._lines.possible:
            return
        lines = [step.line() for step in shown[:MOST_LINES]]
        if len(shown) > MOST_LINES:
            lines.append(f"… and {len(shown) - MOST_LINES} more")
        if lines and self._shares_terminal:
            self._answer.end_line()
        self._lines.draw(lines)

    def close(self) -> None:
        """Leaves the terminal as a shell wants it."""
        self._lines.clear()
        self._answer.end_line()

    def end(self, event: Event, reason: str | None) -> None:
        """`event` is the terminal one; `reason` what the server says of a job that is incomplete."""
        self.close()
        for name, artifact in self._artifacts.items():
            command = f"scripts/jobs get {self._job_id} {shlex.quote(name)}"
            self.notice(f"Made {name} ({size(artifact['size'])}): {command}")
        took = duration(event["at"] - (self._began_at or event["at"]))
        match event["type"]:
            case "job.completed":
                self.notice(f"Completed in {took}.")
            case "job.failed":
                self.notice(f"Failed: {event['error']['message']} Go on with: scripts/jobs retry {self._job_id}")
            case "job.incomplete":
                self.notice(f"Incomplete: {reason} Go on with: scripts/jobs retry {self._job_id}")
            case _:
                stopped = ", ".join(f"{one['name']} in {one['seconds']:.1f} s" for one in event["stopped"])
                self.notice(f"Cancelled{f'; stopped {stopped}' if stopped else ''}.")
