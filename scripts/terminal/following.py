"""Reads a job's events to the last one, each once, across cut connections and restarted servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from jobs import JobEvent, JobStatus
from scripts.terminal.server import Refused, Server, Unreachable, read_json

Notice = Callable[[str], None]

EXIT_CODES = {
    JobStatus.COMPLETED: 0,
    JobStatus.FAILED: 1,
    JobStatus.INCOMPLETE: 1,
    JobStatus.CANCELLED: 3,
}
FIRST_PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 5.0
PATIENCE_SECONDS = 900
DATA = b"data:"


def follow(server: Server, job_id: str, notice: Notice) -> Iterator[JobEvent]:
    """Yields the events. Raises `Refused`; `Unreachable` at the first connection, later after a quarter of an hour."""
    last, waiting = 0, Waiting(notice)
    while True:
        try:
            with server.stream(f"/api/jobs/{job_id}/events", {"Last-Event-ID": str(last)}) as pieces:
                waiting.over()
                for event in events(pieces):
                    if event.seq <= last:
                        continue
                    last = event.seq
                    yield event
                    if event.terminal:
                        return
            waiting.go_on(Unreachable("The server ended the stream."))
        except Unreachable as cut:
            waiting.go_on(cut)


def events(pieces: Iterable[bytes]) -> Iterator[JobEvent]:
    """Yields the events of whole lines; a line that is cut is dropped, as it comes again."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(DATA):
                yield _event(line.removeprefix(DATA))


def _event(data: bytes) -> JobEvent:
    fields = read_json(data, "An event")
    if "seq" not in fields:
        raise Refused(str(fields.get("error", {}).get("message", "The stream broke off.")))
    return JobEvent(job_id="", seq=fields["seq"], type=fields["type"], at=fields["at"], data=data.decode())


class Waiting:
    """The waiting between two connections. `notice` informs the person."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._was_connected = False
        self._since: float | None = None
        self._pause = FIRST_PAUSE_SECONDS

    def over(self) -> None:
        if self._since is not None:
            self._notice("Connected again.")
        self._was_connected, self._since = True, None
        self._pause = FIRST_PAUSE_SECONDS

    def go_on(self, cut: Unreachable) -> None:
        """Sleeps a while. Raises the cut before the first connection, or after too long without one."""
        now = time.monotonic()
        if not self._was_connected or (self._since is not None and now - self._since > PATIENCE_SECONDS):
            raise cut
        if self._since is None:
            self._since = now
            self._notice("The connection is lost; the job goes on. Trying again …")
        time.sleep(max(self._pause, min(cut.retry_after, MAX_PAUSE_SECONDS)))
        self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)
