"""Finds callbacks that keep their event loop, by the clock less the time in which other programs had the processor."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, Self

BLOCKED_SECONDS = 2.0
"""Far above what a callback may take, far below what a blocking call in one costs its neighbours."""
LOOK_SECONDS = 0.25
SCHEDULER = Path("/proc/thread-self/schedstat")
"""Of Linux: this thread's nanoseconds on a processor, its nanoseconds of waiting for one, its time slices."""


class BlockedLoops:
    """`with BlockedLoops() as blocked:` lists the callbacks of this process that kept their loop for too long.

    `time.sleep()`, a lock, a slow disk and a calculation keep it. A busy machine does not.
    """

    def __init__(self, seconds: float = BLOCKED_SECONDS) -> None:
        self.callbacks: list[str] = []
        self._seconds = seconds
        self._run = asyncio.Handle._run
        self._threads = threading.local()

    def __enter__(self) -> Self:
        watch = self._watch
        asyncio.Handle._run = lambda handle: watch(handle)  # type: ignore[method-assign,assignment]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.Handle._run = self._run  # type: ignore[method-assign]

    def _watch(self, handle: asyncio.Handle) -> Any:
        begin = time.perf_counter()
        if begin - getattr(self._threads, "looked_at", 0.0) > LOOK_SECONDS:  # each callback's own look would cost 10 µs
            self._threads.looked_at, self._threads.waited = begin, waited_seconds()
        result = self._run(handle)
        seconds = time.perf_counter() - begin
        if seconds > self._seconds and (busy := seconds - (waited_seconds() - self._threads.waited)) > self._seconds:
            self.callbacks.append(f"{handle!r} took {seconds:.2f} s, {busy:.2f} s of them its own")
        return result


def waited_seconds() -> float:
    """For how long this thread was ready to run and no processor was free; 0 where the system does not tell."""
    try:
        return int(SCHEDULER.read_bytes().split()[1]) / 1e9
    except OSError:
        return 0.0
