"""Watches an event loop from a thread: reports what blocks it, where and for how long."""

import asyncio
import logging
import selectors
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

logger = logging.getLogger(__name__)

BEAT_SECONDS = 0.05
STALL_SECONDS = 0.25
LONG_SECONDS = 1.0
"""A second report after this long, so that the loop's other calls can be moved."""
TOLD_SECONDS = 5.0
"""A stall that lasts this long is logged while it lasts, a shorter one at its end."""
OWN_BEAT_SECONDS = 0.1
"""For loops that are always watched: 10 beats a second cost almost no CPU."""
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Stall:
    """A time in which the loop does not run."""

    seconds: float
    where: str
    """"at tools/x.py:41 in fetch()"."""
    task: "asyncio.Task[object] | None"
    """The task that blocks the loop; None when the loop itself waits, as for the GIL."""
    over: bool


IMPORTING = ", which imports a module"
"""The end of a place whose line is an import."""


class Code:
    """The files of an author: those in these directories, except installed packages."""

    def __init__(self, directories: Sequence[Path], base: Path | None = None) -> None:
        """Paths are shown relative to `base`, by default to the directory's parent."""
        folders = [directory.resolve() for directory in directories]
        self._bases = {f"{folder}/": base or folder.parent for folder in folders}

    def where(self, frame: FrameType | None) -> str:
        """Returns the innermost line that the author can change, else the innermost line."""
        innermost = frame
        importing = ""
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith("<frozen importlib") or frame.f_code.co_name == "<module>":
                importing = IMPORTING
            for folder, base in self._bases.items():
                if name.startswith(folder) and "/site-packages/" not in name:
                    return _told(frame, str(Path(name).relative_to(base))) + importing
            frame = frame.f_back
        return "" if innermost is None else _told(innermost, Path(innermost.f_code.co_filename).name)


class Watchdog:
    """Runs a thread that sends beats to the loop while `watch` was called more often than `rest`.

    Make it on the loop's thread. It calls `tell` on its own thread: after STALL_SECONDS, LONG_SECONDS and TOLD_SECONDS
    of a stall, and with `over` set when the stall has ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[Stall], None],
        code: Code,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._loop = loop
        self._tell = tell
        self._code = code
        self._beat_seconds = beat_seconds
        self._loop_thread = threading.get_ident()
        self._began: float | None = None  # of the present stall
        self._stall: Stall | None = None  # as last reported
        self._watched = 0
        self._lock = threading.Lock()
        self._needed = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def watch(self) -> None:
        """Watch the loop: a call begins on it."""
        with self._lock:
            self._watched += 1
            self._needed.set()

    def recovered(self) -> None:
        """The loop runs again. A call that ends reports this too, so that its result does not overtake the report."""
        with self._lock:
            if self._began is not None and self._stall is not None:
                seconds = time.monotonic() - self._began
                self._began = None
                self._tell(replace(self._stall, seconds=seconds, over=True))

    def rest(self) -> None:
        """A call on the loop has ended; with none left, the thread sleeps and costs nothing."""
        with self._lock:
            self._watched -= 1
            if not self._watched:
                self._needed.clear()

    def stop(self) -> None:
        """End the thread. The loop must keep running meanwhile: the thread may be waiting for it."""
        self._stopped.set()
        self._needed.set()
        self._thread.join()

    def _run(self) -> None:
        while self._needed.wait() and not self._stopped.wait(self._beat_seconds):
            if _waits(self._frame()):
                continue  # an idle loop is not blocked: it need not be woken
            beat = threading.Event()
            began, worked = time.monotonic(), time.process_time()
            try:
                self._loop.call_soon_threadsafe(beat.set)
            except RuntimeError:  # the loop was closed
                return
            if not beat.wait(STALL_SECONDS) and not _stood_still(began, worked):
                self._stalled(beat, began)

    def _stalled(self, beat: threading.Event, began: float) -> None:
        with self._lock:
            self._began = began
        for seconds in (LONG_SECONDS, TOLD_SECONDS, None):
            self._report()
            if beat.wait(None if seconds is None else began + seconds - time.monotonic()):
                break
        self.recovered()

    def _report(self) -> None:
        task = asyncio.current_task(self._loop)
        where = self._code.where(self._frame())
        with self._lock:
            if self._began is not None:
                self._stall = Stall(seconds=time.monotonic() - self._began, where=where, task=task, over=False)
                self._tell(self._stall)

    def _frame(self) -> FrameType | None:
        """Returns the Python frame that the loop's thread runs now."""
        return sys._current_frames().get(self._loop_thread)


class LoopWatchdog:
    """Watches a loop of the server, where a stall is a defect: logs each stall and keeps two figures.

    `async with LoopWatchdog("web") as watchdog:` on the loop to watch.
    """

    def __init__(self, name: str) -> None:
        self.stalls = 0
        self.longest_seconds = 0.0
        self._name = name
        self._told = False  # whether the present stall was logged

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._watchdog = Watchdog(loop, self._tell, Code([ROOT], base=ROOT), OWN_BEAT_SECONDS)
        self._watchdog.watch()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._watchdog.stop)

    def _tell(self, stall: Stall) -> None:
        self.longest_seconds = max(self.longest_seconds, stall.seconds)
        if not self._told and (stall.over or stall.seconds >= TOLD_SECONDS):
            fields = {"loop": self._name, "seconds": round(stall.seconds, 1), "over": stall.over, "where": stall.where}
            logger.warning("event loop blocked", extra={"fields": fields})
            self.stalls += 1
            self._told = True
        if stall.over:
            self._told = False


def _waits(frame: FrameType | None) -> bool:
    """Whether the loop waits in its own selector, not a callback in another one (as in subprocess.run)."""
    if frame is None or frame.f_back is None:
        return False
    if frame.f_code.co_filename == asyncio.runners.__file__:
        return True  # uvloop is not Python code: a running callback would be a further frame
    return frame.f_code.co_filename == selectors.__file__ and frame.f_back.f_code.co_name == "_run_once"


def _stood_still(began: float, worked: float) -> bool:
    """Whether the whole process waited for the processor, or was stopped, so that no code blocked its loop.

    Then this thread slept far longer than it asked for, while the process used hardly any processor time: code that
    blocks the interpreter would have used some.
    """
    late = time.monotonic() - began - STALL_SECONDS
    return late > STALL_SECONDS and time.process_time() - worked < late / 2


def _told(frame: FrameType, name: str) -> str:
    return f"at {name}:{frame.f_lineno} in {frame.f_code.co_name}()"
