"""Watches a host's loop from a thread: who blocks it, where and for how long."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

BEAT_SECONDS = 0.05
STALL_SECONDS = 0.25
TOLD_SECONDS = 1.0  # a stall that lasts this long is told of while it lasts


@dataclass(frozen=True, kw_only=True)
class Stall:
    """The loop did not run for a while."""

    seconds: float
    where: str  # "at x.py:41 in fetch()"
    task: "asyncio.Task[object] | None"  # that holds the loop; None when the loop itself waits, as for the GIL
    over: bool


class Watchdog:
    """Runs a thread that beats on the loop while `watch` was called more often than `rest`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tell: Callable[[Stall], None], author_directories: Sequence[Path]
    ) -> None:
        self._loop = loop
        self._tell = tell
        self._directories = tuple(str(directory.resolve()) for directory in author_directories)
        self._loop_thread = threading.get_ident()
        self._began: float | None = None  # of the stall that lasts
        self._stall: Stall | None = None  # as it was told of last
        self._watched = 0
        self._lock = threading.Lock()
        self._needed = threading.Event()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def watch(self) -> None:
        """A call begins on the loop."""
        with self._lock:
            self._watched += 1
            self._needed.set()

    def recovered(self) -> None:
        """The loop runs again. A call that ends says so too, lest its result overtakes what is told of it."""
        with self._lock:
            if self._began is not None and self._stall is not None:
                seconds = time.monotonic() - self._began
                self._began = None
                self._tell(replace(self._stall, seconds=seconds, over=True))

    def rest(self) -> None:
        """A call on the loop has ended; with none left the thread sleeps and costs nothing."""
        with self._lock:
            self._watched -= 1
            if not self._watched:
                self._needed.clear()

    def _run(self) -> None:
        while self._needed.wait():
            beat = threading.Event()
            began = time.monotonic()
            self._loop.call_soon_threadsafe(beat.set)
            if not beat.wait(STALL_SECONDS):
                self._stalled(beat, began)
            time.sleep(BEAT_SECONDS)

    def _stalled(self, beat: threading.Event, began: float) -> None:
        self._began = began
        self._report()
        if not beat.wait(TOLD_SECONDS - STALL_SECONDS):
            self._report()
            beat.wait()
        self.recovered()

    def _report(self) -> None:
        where, task = self._culprit()
        with self._lock:
            if self._began is not None:
                self._stall = Stall(seconds=time.monotonic() - self._began, where=where, task=task, over=False)
                self._tell(self._stall)

    def _culprit(self) -> tuple[str, "asyncio.Task[object] | None"]:
        task = asyncio.current_task(self._loop)
        frame = self._author_frame(sys._current_frames().get(self._loop_thread))
        if frame is None:
            return "", task
        return f"at {Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}()", task

    def _author_frame(self, frame: FrameType | None) -> FrameType | None:
        """The innermost frame in a tool's own file, as that is the line its author can change; else the innermost."""
        innermost = frame
        while frame is not None:
            if frame.f_code.co_filename.startswith(self._directories):
                return frame
            frame = frame.f_back
        return innermost
