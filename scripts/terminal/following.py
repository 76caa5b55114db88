"""A job's events to the last one, each once: cut connections and restarted servers are survived."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from scripts.terminal.server import Refused, Server, Unreachable, read_json

Event = Mapping[str, Any]
Notice = Callable[[str], None]

EXIT_CODES = {"job.completed": 0, "job.failed": 1, "job.incomplete": 1, "job.cancelled": 3}
"""Of each terminal event."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
PATIENCE_SECONDS = 900
DATA = b"data:"


def follow(server: Server, job_id: str, notice: Notice) -> Iterator[Event]:
    """Raises `Refused`, at first also `Unreachable`; later only when the server stays away for a quarter of an hour."""
    last, waiting = 0, Waiting(notice)
    while True:
        try:
            with server.stream(f"/api/jobs/{job_id}/events", {"Last-Event-ID": str(last)}) as pieces:
                waiting.over()
                for event in events(pieces):
                    if event["seq"] <= last:
                        continue
                    last = event["seq"]
                    yield event
                    if event["type"] in EXIT_CODES:
                        return
            waiting.go_on(Unreachable("The server ended the stream."))
        except Unreachable as cut:
            waiting.go_on(cut)


def events(pieces: Iterable[bytes]) -> Iterator[Event]:
    """What is cut in the middle of a line is left out: it comes again."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(DATA):
                event = read_json(line.removeprefix(DATA), "An event")
                if "seq" not in event:
                    raise Refused(str(event.get("error", {}).get("message", "The stream broke off.")))
                yield event


class Waiting:
    """Between two connections. `notice` tells the person."""

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
        """Sleeps a while. Raises the cut when there was no connection yet, or none for too long."""
        now = time.monotonic()
        if not self._was_connected or (self._since is not None and now - self._since > PATIENCE_SECONDS):
            raise cut
        if self._since is None:
            self._since = now
            self._notice("The connection is lost; the job goes on. Trying again …")
        time.sleep(max(self._pause, min(cut.retry_after, LONGEST_PAUSE_SECONDS)))
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
