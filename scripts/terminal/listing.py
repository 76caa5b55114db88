"""The listing of jobs."""

import time
from collections.abc import Iterable

from rich.table import Column, Table

from scripts.terminal.server import Job
from scripts.terminal.words import clipped, duration, one_line

NAMES = ("ID", "STATUS", "TASK", "BEGUN", "TOOK")
TASK_COLUMNS = 30
NEWS_COLUMNS = 60


def table_of(jobs: Iterable[Job]) -> Table:
    """Returns a row for each job."""
    table = Table(*(Column(name, no_wrap=True) for name in NAMES), "", box=None, pad_edge=False)
    for job in jobs:
        table.add_row(*_row(job))
    return table


def _row(job: Job) -> tuple[str, ...]:
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(job["created_at"]))
    took = duration((job["finished_at"] or time.time()) - job["started_at"]) if job["started_at"] else ""
    task, news = clipped(one_line(job["task"]), TASK_COLUMNS), clipped(one_line(_news(job)), NEWS_COLUMNS)
    return job["id"], job["status"], task, begun, took, news


def _news(job: Job) -> str:
    """Returns the job's news in a few words."""
    if job["error"]:
        return str(job["error"]["message"])
    if job["queue_position"]:
        return f"{job['queue_position']} before it"
    if job["progress"] and job["status"] == "in_progress":
        return _progress(**job["progress"])
    count = len(job["artifacts"])
    return f"{count} file{'s' * (count > 1)}" if count else ""


def _progress(done: float, total: float | None, message: str, **_: object) -> str:
    return f"{done / total:.0%} {message}" if total else message
