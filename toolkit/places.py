"""The places for tools that run in separate processes, with fair turns between the waiting calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

Tell = Callable[[], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiter:
    """A call that waits, until its future is done."""

    owner: str
    given: asyncio.Future[None]


class Places:
    """So many calls run at a time.

    A free place goes to the owner with the fewest running calls; among equals, to the longest wait. The last place goes
    only to an owner without a running call: one owner cannot occupy all places, and the next owner need not wait.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._kept = 1 if limit > 1 else 0  # a single place is for all owners
        self._running: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def taken(self, owner: str, *, on_wait: Tell, on_given: Tell) -> AsyncIterator[None]:
        """Holds a place while the block runs. `on_wait` and `on_given` are awaited only if the call has to wait."""
        waiter = _Waiter(owner=owner, given=asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._give()
        try:
            if not waiter.given.done():
                await on_wait()
                await waiter.given
                await on_given()
            yield
        finally:
            self._leave(waiter)

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        else:
            self._free += 1
            self._running[waiter.owner] -= 1
            self._running += Counter()  # drops owners without running calls
        self._give()

    def _give(self) -> None:
        while (waiter := self._next()) is not None:
            self._waiting.remove(waiter)
            self._free -= 1
            self._running[waiter.owner] += 1
            waiter.given.set_result(None)

    def _next(self) -> _Waiter | None:
        waiting = [waiter for waiter in self._waiting if not waiter.given.done()]  # a stopped one is about to leave
        first = min(waiting, key=lambda waiter: self._running[waiter.owner], default=None)
        if first is None or self._free < 1:
            return None
        return None if self._running[first.owner] and self._free <= self._kept else first
