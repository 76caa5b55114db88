"""The life of the web process: opening, open, draining, closed. Front ends ask it for the open parts.

Their routes and callbacks are registered before anything opens, and some are called after everything has closed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from functools import partial
from types import FrameType
from typing import Any, TypeVar, cast

T = TypeVar("T")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Phase(Enum):
    OPENING = auto()
    OPEN = auto()
    DRAINING = auto()
    """A signal to stop has arrived: nothing new begins, and streams end cleanly. All parts are still open."""
    CLOSED = auto()


class NotServing(Exception):
    """The process has not opened yet, or is about to end. Try again later."""

    def __init__(self) -> None:
        super().__init__("The server is starting or stopping; try again.")


class Lifecycle:
    """One per web process; `Front` advances it."""

    def __init__(self) -> None:
        self.phase = Phase.OPENING
        self._parts: dict[type, object] = {}
        self._on_drain: list[Callable[[], None]] = []

    @property
    def open(self) -> bool:
        """Whether new work is admitted."""
        return self.phase is Phase.OPEN

    def get(self, kind: type[T]) -> T:
        """Returns the open part of this class, also while the process drains. Raises `NotServing`."""
        if kind not in self._parts:
            raise NotServing
        return cast("T", self._parts[kind])

    def admit(self, kind: type[T]) -> T:
        """`get` for new work: also raises `NotServing` while the process drains."""
        if not self.open:
            raise NotServing
        return self.get(kind)

    @contextmanager
    def serving(self, *parts: object) -> Iterator[None]:
        """Open with these parts inside the block, closed after it."""
        self._parts = {type(part): part for part in parts}
        if self.phase is Phase.OPENING:  # otherwise the signal to stop came first
            self.phase = Phase.OPEN
        try:
            yield
        finally:
            self.drain()
            self.phase, self._parts = Phase.CLOSED, {}

    def on_drain(self, call: Callable[[], None]) -> None:
        """Calls it on the loop when draining begins; immediately if it has already begun."""
        self._on_drain.append(call)
        if self.phase in {Phase.DRAINING, Phase.CLOSED}:
            call()

    def drain(self) -> None:
        """Admits nothing new."""
        if self.phase in {Phase.OPENING, Phase.OPEN}:
            self.phase = Phase.DRAINING
            for call in self._on_drain:
                call()

    @contextmanager
    def drained_by_signals(self) -> Iterator[None]:
        """Call in the main thread. A signal schedules the drain and reaches the earlier handler, such as the server's.

        The server waits for its streams before it closes anything, so streams must be told to end before that.
        """
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            signal.signal(number, partial(self._on_signal, loop, handler))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, loop: asyncio.AbstractEventLoop, before: Any, number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(self.drain)
        if callable(before):
            before(number, frame)
        elif before is signal.SIG_DFL:  # no other handler exists: the process would never end
            signal.signal(number, before)
            loop.call_soon_threadsafe(signal.raise_signal, number)
