"""The pause between requests to a host."""

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
        """Lengthens the pause for a host to what it asks for; a shorter pause than before changes nothing."""
        self._asked[host] = max(delay_seconds, self._asked.get(host, 0.0))

    async def turn(self, host: str) -> None:
        """Waits until the host may receive the next request."""
        last = self._last.get(host)
        if last is None:
            return
        wait = last + max(self._delay, self._asked.get(host, 0.0)) - self._clock()
        if wait > 0:
            await self._sleep(wait)

    def done(self, host: str) -> None:
        """Records the end of a request to the host."""
        self._last[host] = self._clock()
