"""Following a job: its events to the last one, each once, across cut connections and restarted servers."""

import json
import time
from collections.abc import Callable, Iterator

import httpx
from httpx_sse import EventSource

from jobs.events import JobEvent
from scripts.terminal.server import Refused, Server, Unreachable

Notice = Callable[[str], None]
"""Tells the person a sentence."""

FIRST_PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 5.0
PATIENCE_SECONDS = 900


def follow(server: Server, job_id: str, notice: Notice) -> Iterator[JobEvent]:
    """Yields the events. Raises `Refused`; `Unreachable` at the first connection, later after a quarter of an hour."""
    last, waiting = 0, Waiting(notice)
    while True:
        try:
            with server.events(job_id, last) as response:
                waiting.over()
                for event in read_events(response):
                    if event.seq > last:
                        last = event.seq
                        yield event
                    if event.terminal:
                        return
            waiting.go_on(Unreachable("The server ended the stream."))
        except Unreachable as cut:
            waiting.go_on(cut)


def read_events(response: httpx.Response) -> Iterator[JobEvent]:
    """Yields the events that came whole; one that is cut is dropped, as it comes again. Raises `Refused`."""
    for one in EventSource(response).iter_sse():
        if one.data:
            fields = json.loads(one.data)
            if "seq" not in fields:
                raise Refused(str(fields.get("error", {}).get("message", "The stream broke off.")))
            yield JobEvent(job_id="", seq=fields["seq"], type=fields["type"], at=fields["at"], data=one.data)


class Waiting:
    """The waiting between two connections."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._was_connected = False
        self._since: float | None = None
        self._pause = FIRST_PAUSE_SECONDS

    def over(self) -> None:
        """Takes note that the connection stands."""
        if self._since is not None:
            self._notice("Connected again.")
        self._was_connected, self._since, self._pause = True, None, FIRST_PAUSE_SECONDS

    def go_on(self, cut: Unreachable) -> None:
        """Sleeps a while. Raises the cut before the first connection, or after too long without one."""
        now = time.monotonic()
        if not self._was_connected or (self._since is not None and now - self._since > PATIENCE_SECONDS):
            raise cut
        if self._since is None:
            self._since = now
            self._notice("The connection is lost; the job continues. Trying again …")
        time.sleep(max(self._pause, min(cut.retry_after, MAX_PAUSE_SECONDS)))
        self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)
