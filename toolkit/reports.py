"""Progress and log lines of one call on their way out, held to a rate that no screen and no store suffers from."""

import asyncio
import threading
import time
from collections.abc import Callable

from toolkit.messages import Log, Progress, Report

PROGRESS_SECONDS = 0.05
"""A screen shows no more."""
LOG_LINES_PER_SECOND = 100


class Reports:
    """Thread-safe. The newest progress always arrives; log lines beyond the rate are counted and told."""

    def __init__(self, call: int, send: Callable[[Report], None], loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._send = send
        self._loop = loop
        self._lock = threading.RLock()
        self._progress: Progress | None = None  # waits for its turn
        self._progress_at = 0.0
        self._scheduled = False
        self._window_at = 0.0
        self._lines = 0
        self._left_out = 0

    def progress(self, done: float, total: float | None, message: str) -> None:
        """At once, or as the newest one when its turn comes."""
        self._report(Progress(call=self._call, done=done, total=total, message=message))

    def _report(self, progress: Progress) -> None:
        with self._lock:
            self._progress = progress
            wait = self._progress_at + PROGRESS_SECONDS - time.monotonic()
            if wait <= 0:
                self._flush_progress()
            elif not self._scheduled:
                self._scheduled = True
                self._loop.call_soon_threadsafe(self._loop.call_later, wait, self._on_time)

    def log(self, level: str, message: str) -> None:
        """At once, or not at all."""
        with self._lock:
            now = time.monotonic()
            if now - self._window_at >= 1:
                self._window_at, self._lines = now, 0
                self._tell_left_out()
            self._lines += 1
            if self._lines > LOG_LINES_PER_SECOND:
                self._left_out += 1
            else:
                self._send(Log(call=self._call, level=level, message=message))

    def flush(self) -> None:
        """What still waits, before the call's end."""
        with self._lock:
            self._flush_progress()
            self._tell_left_out()

    def _on_time(self) -> None:
        with self._lock:
            self._scheduled = False
            if self._progress is not None:
                self._report(self._progress)

    def _flush_progress(self) -> None:
        if self._progress is not None:
            self._send(self._progress)
            self._progress, self._progress_at = None, time.monotonic()

    def _tell_left_out(self) -> None:
        if self._left_out:
            text = f"{self._left_out} log lines were left out: a tool may write {LOG_LINES_PER_SECOND} a second."
            self._send(Log(call=self._call, level="warning", message=text))
            self._left_out = 0
