"""The watch over a job that a terminal follows."""

import contextlib
import signal
import sys

from jobs import JobStatus
from jobs.events import TERMINAL, JobEvent, JobIncompleteEvent
from scripts.terminal.console import tell
from scripts.terminal.following import follow
from scripts.terminal.screen import Screen
from scripts.terminal.server import Server

EXIT_CODES = {JobStatus.COMPLETED: 0, JobStatus.FAILED: 1, JobStatus.INCOMPLETE: 1, JobStatus.CANCELLED: 3}
INTERRUPTED_CODE = 130


def watch(server: Server, job_id: str) -> int:
    """Shows the job to its end. Returns the exit code; after Ctrl-C, the job goes on. Raises `Refused`."""
    try:
        with contextlib.closing(Screen(job_id, out=sys.stdout, err=sys.stderr)) as screen:
            for event in follow(server, job_id, screen.notice):
                screen.feed(event)
            screen.end(event, _reason(server, job_id, event))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not garble the message
        tell(f"The job continues. Follow it: ./scripts/jobs tail {job_id}  Stop it: ./scripts/jobs stop {job_id}")
        return INTERRUPTED_CODE
    return EXIT_CODES[TERMINAL[event.type]]


def stop(server: Server, job_id: str) -> str:
    """Stops the job and waits for its end. Returns what became of it, as a sentence. Raises `Refused`."""
    before = server.call("POST", f"/api/jobs/{job_id}/cancel")["status"]
    if before in EXIT_CODES and before != JobStatus.CANCELLED:
        return f"{job_id} had ended before: {before}."
    *_, last = follow(server, job_id, tell)
    return f"{job_id} is {TERMINAL[last.type]}."


def _reason(server: Server, job_id: str, event: JobEvent) -> str | None:
    """Returns why a job is incomplete: a tool's sentence, or for a code the server's."""
    if not isinstance(end := event.payload, JobIncompleteEvent):
        return None
    return f"{end.reason}." if " " in end.reason else str(server.job(job_id)["error"]["message"])
