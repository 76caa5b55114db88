"""Limits the rate of one call's progress and log lines, to spare screens and the store."""

import asyncio
import threading
import time
from collections.abc import Callable

from toolkit.messages import Log, Progress, Report

PROGRESS_SECONDS = 0.05
"""The shortest time between two reports of progress; a screen shows no more."""
LOG_LINES_PER_SECOND = 100


class Reports:
    """Thread-safe. The newest progress always arrives; of log lines beyond the rate only their number is logged."""

    def __init__(self, call: int, send: Callable[[Report], None], loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._send = send
        self._loop = loop
        self._lock = threading.RLock()
        self._progress: Progress | None = None  # waits until it is due
        self._progress_at = 0.0
        self._scheduled = False
        self._window_at = 0.0
        self._lines = 0
        self._left_out = 0

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Send at once, or when due if no newer progress has come."""
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
        """Send at once, or drop and count the line."""
        with self._lock:
            now = time.monotonic()
            if now - self._window_at >= 1:
                self._window_at, self._lines = now, 0
                self._log_left_out()
            self._lines += 1
            if self._lines > LOG_LINES_PER_SECOND:
                self._left_out += 1
            else:
                self._send(Log(call=self._call, level=level, message=message))

    def flush(self) -> None:
        """Send what still waits, before the call's end."""
        with self._lock:
            self._flush_progress()
            self._log_left_out()

    def _on_time(self) -> None:
        with self._lock:
            self._scheduled = False
            if self._progress is not None:
                self._report(self._progress)

    def _flush_progress(self) -> None:
        if self._progress is not None:
            self._send(self._progress)
            self._progress, self._progress_at = None, time.monotonic()

    def _log_left_out(self) -> None:
        if self._left_out:
            text = f"{self._left_out} log lines were left out: a tool may write {LOG_LINES_PER_SECOND} a second."
            self._send(Log(call=self._call, level="warning", message=text))
            self._left_out = 0
