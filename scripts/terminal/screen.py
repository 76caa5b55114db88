"""The screen: the answer on standard output; progress, notices and the end on standard error."""

import shlex
from typing import TextIO, assert_never

from rich.filesize import decimal
from rich.live import Live

from jobs import events
from scripts.terminal.answer import Answer
from scripts.terminal.console import Console
from scripts.terminal.sentences import ending, news
from scripts.terminal.steps import Step, table_of
from scripts.terminal.words import one_line

PLAIN_SECONDS = 5.0
"""The shortest time between two lines of progress for one step, without a terminal."""


class Screen:
    """Shows a job's events, fed in order."""

    def __init__(self, job_id: str, *, out: TextIO, err: TextIO) -> None:
        self._job_id = job_id
        self._console = Console(err)
        self._shares_terminal = err.isatty() and out.isatty()
        self._live: Live | None = None
        self._steps: dict[str, Step] = {}
        self._answer = Answer(out, self.notice, self._erase)
        self._began_at: float | None = None

    def notice(self, sentence: str) -> None:
        """Writes a line, above the bars if there are any."""
        if self._shares_terminal:
            self._answer.end_line()
        self._console.out(one_line(sentence), highlight=False)

    def feed(self, event: events.JobEvent) -> None:
        """Shows the event."""
        payload = event.payload
        self._show(payload, event.at)
        self._answer.feed(payload)
        self._draw()

    def close(self) -> None:
        """Leaves the terminal at the start of a line, as a shell expects."""
        self._erase()
        self._answer.end_line()

    def end(self, event: events.JobEvent, reason: str | None) -> None:
        """Shows the end. `event` is the terminal one; `reason` explains why a job is incomplete."""
        self.close()
        transcript, seconds = self._answer.transcript, event.at - (self._began_at or event.at)
        for name, artifact in transcript.artifacts.items():
            command = f"./scripts/jobs get {self._job_id} {shlex.quote(name)}"
            self.notice(f"Made {name} ({decimal(artifact.size)}): {command}")
        if transcript.end is not None:
            self.notice(ending(transcript.end, seconds, reason, f"./scripts/jobs retry {self._job_id}"))

    def _show(self, payload: events.EventPayload, at: float) -> None:
        match payload:
            case events.StepStarted():
                self._step_started(payload)
            case events.StepFinished(step=step):
                self._steps.pop(step, None)
            case events.Progress():
                self._progress(payload, at)
            case events.JobStarted(attempt=attempt):
                self._started(attempt, at)
            case events.Log() | events.StepWaiting() | events.JobQueued() | events.JobCancelling():
                if said := news(payload, at):
                    self.notice(said)
            case events.TextDelta() | events.Artifact() | events.JobCompleted() | events.JobFailedEvent():
                pass  # shown by `Answer` and `end`
            case events.JobCancelled() | events.JobIncompleteEvent():
                pass  # shown by `end`
            case events.JobEdited() | events.Plan() | events.Source() | events.UnknownEvent():
                pass
            case _:
                assert_never(payload)

    def _started(self, attempt: int, at: float) -> None:
        self._began_at = self._began_at or at
        self._steps.clear()
        if attempt > 1:
            self.notice("The job lost its worker; another one continues from the last finished step.")

    def _step_started(self, started: events.StepStarted) -> None:
        self._steps[started.step] = Step(name=started.name, kind=started.kind)
        if started.kind == "tool" and not self._console.is_interactive:
            self.notice(f"{started.name} …")

    def _progress(self, report: events.Progress, at: float) -> None:
        step = self._steps.setdefault(report.step or "", Step(name="job", kind="tool"))
        step.progressed(report, at)
        is_done = report.total and report.done >= report.total
        if not self._console.is_interactive and (is_done or at - step.told_at >= PLAIN_SECONDS):
            step.told_at = at
            self.notice(step.sentence())

    def _draw(self) -> None:
        shown = [step for step in self._steps.values() if step.report or step.kind == "tool"]
        if not shown or not self._console.is_interactive:
            self._erase()
            return
        if self._shares_terminal:
            self._answer.end_line()
        if self._live is None:  # a new one each time: a stopped one would erase lines above it
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._live.update(table_of(shown), refresh=True)

    def _erase(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
