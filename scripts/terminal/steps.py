"""The running steps of a job, with their progress and the time left."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from jobs.events import Progress
from scripts.terminal.words import clipped, duration, one_line

MAX_ROWS = 8
NAME_COLUMNS = 40
BAR_COLUMNS = 20


@dataclass(kw_only=True)
class Step:
    """A running step. Times are the server's Unix seconds."""

    name: str
    kind: str
    report: Progress | None = None
    """The last report."""
    left: str = ""
    """The time left at the pace so far, if that can be told: `3:05 left`."""
    first: tuple[float, float] | None = None
    """When the first report came, and what was done by then."""
    told_at: float = 0.0

    def progressed(self, report: Progress, at: float) -> None:
        """Takes a report that was made at that time."""
        begun, before = self.first = self.first or (at, report.done)
        self.report, self.left = report, ""
        if report.total and report.done > before:
            pace = (at - begun) / (report.done - before)
            self.left = f"{duration(pace * (report.total - report.done))} left"

    def sentence(self) -> str:
        """Returns the progress as a line of text, empty before the first report."""
        if self.report is None:
            return ""
        total = f" of {self.report.total:g}" if self.report.total else ""
        left = f", {self.left}" if self.left else ""
        message = f": {self.report.message}" if self.report.message else ""
        return f"{self.name}: {self.report.done:g}{total}{left}{message}"

    def row(self) -> Sequence[RenderableType]:
        """Returns the cells of a row: name, bar, share, time left, message."""
        name = clipped(one_line(self.name), NAME_COLUMNS)
        if self.report is None:
            return (f"{name} …",)
        done, total = self.report.done, self.report.total
        bar = ProgressBar(total=total or None, completed=done, width=BAR_COLUMNS)
        message = Text(one_line(self.report.message), no_wrap=True, overflow="ellipsis")
        return name, bar, f"{done / total:4.0%}" if total else f"{done:g}", self.left, message


def table_of(steps: Sequence[Step]) -> Table:
    """Returns a row for each of the first steps, and the number of the others."""
    table = Table.grid(*(Column(no_wrap=True) for _ in range(4)), Column(), padding=(0, 2, 0, 0))
    for step in steps[:MAX_ROWS]:
        table.add_row(*step.row())
    if len(steps) > MAX_ROWS:
        table.add_row(f"… and {len(steps) - MAX_ROWS} more")
    return table
