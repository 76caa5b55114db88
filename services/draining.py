"""The way out: from the signal to stop until everything is closed, nothing new begins and streams end cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Draining:
    """`with Draining() as draining`, in the main thread. It listens beside whoever listened before, as the server does.

    A server waits for its streams before it closes anything, so that what it closes comes too late to end them.
    """

    def __init__(self) -> None:
        self.begun = False
        self._then: list[Callable[[], None]] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            self._before[number] = signal.getsignal(number)
            signal.signal(number, partial(self._on_signal, self._before[number]))
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def then(self, call: Callable[[], None]) -> None:
        """Call it on the loop when draining begins, or now if it has."""
        self._then.append(call)
        if self.begun:
            call()

    def begin(self) -> None:
        if not self.begun:
            self.begun = True
            for call in self._then:
                call()

    def _on_signal(self, before: Any, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self.begin)
        if callable(before):
            before(number, frame)
        elif before is signal.SIG_DFL:  # nobody listens besides us: the process would never end
            signal.signal(number, before)
            self._loop.call_soon_threadsafe(signal.raise_signal, number)
