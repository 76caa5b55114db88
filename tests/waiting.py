"""Waiting for a condition with a bound, never for a number of seconds."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

POLL_SECONDS, MAX_POLL_SECONDS = 0.05, 0.3


@overload
async def until(condition: Callable[[], Awaitable[T]], *, within: float, what: str) -> T: ...
@overload
async def until(condition: Callable[[], T], *, within: float, what: str) -> T: ...
async def until(condition: Callable[[], T | Awaitable[T]], *, within: float, what: str) -> T:
    """The first truthy value of `condition`, asked again and again; fails with `what` after `within` seconds.

    It is asked less often the longer it takes, so that waiting costs little of the processor that it waits for.
    """
    begin = time.monotonic()
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        waited = time.monotonic() - begin
        if waited >= within:
            raise AssertionError(f"not within {within} s: {what}; last seen {value!r}")
        await asyncio.sleep(min(max(POLL_SECONDS, waited / 20), MAX_POLL_SECONDS))
