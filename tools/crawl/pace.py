"""Politeness in time: requests to one host keep their distance."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class Pace:
    """Waits before each request until `delay_seconds` have passed since the end of the last one to the same host."""

    def __init__(
        self,
        delay_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._delay = delay_seconds
        self._clock = clock
        self._sleep = sleep
        self._last: dict[str, float] = {}
        self._asked: dict[str, float] = {}

    def ask_for(self, host: str, delay_seconds: float) -> None:
        """The host wants this distance; a shorter one than it wanted before, or than our own, changes nothing."""
        self._asked[host] = max(delay_seconds, self._asked.get(host, 0.0))

    async def turn(self, host: str) -> None:
        """Wait until the host may be asked again."""
        last = self._last.get(host)
        if last is None:
            return
        wait = last + max(self._delay, self._asked.get(host, 0.0)) - self._clock()
        if wait > 0:
            await self._sleep(wait)

    def done(self, host: str) -> None:
        """A request to the host has ended."""
        self._last[host] = self._clock()
