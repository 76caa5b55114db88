"""The progress of a map, which counts its finished parts: those that were read back after a takeover, too."""

import threading
from collections.abc import Callable


class MapProgress:
    """Reports how many parts are finished. Thread-safe. Silent beside code that reports progress on another scale.

    Code that counts the parts itself does not see those that another attempt has finished, because it does not run for
    them. Its reports are therefore raised to the number of finished parts.
    """

    def __init__(self, total: int, report: Callable[[int, int, str], None], *, silent: bool = False) -> None:
        self._total = total
        self._report = report
        self._finished = 0
        self._fresh: set[int] = set()
        self._silent = silent
        self._message = ""  # the newest report of code that counts the parts itself
        self._lock = threading.Lock()

    def begun(self, part: int) -> None:
        """A part runs. Not called for a part that is read back: a count from one again would look like a loss."""
        with self._lock:
            self._fresh.add(part)
            if self._finished:
                self._tell()

    def finished(self, part: int) -> None:
        with self._lock:
            self._finished += 1
            if part in self._fresh or self._finished == self._total:
                self._tell()

    def told(self, done: float, total: float | None, message: str) -> float:
        """Returns what to report when a part reports this."""
        with self._lock:
            if total != self._total:
                self._silent = True
                return done
            self._message = message
            return max(done, self._finished)

    def _tell(self) -> None:
        if not self._silent:
            self._report(self._finished, self._total, self._message)
