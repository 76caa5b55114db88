"""Limits on requests and tokens a minute, which all workers share through the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.context import JobContext
from jobs.errors import StoreUnavailable

CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 200
"""The estimate for an answer until it has arrived."""
MAX_AHEAD_SECONDS = 60.0
"""Chat turns beyond the rate delay the calls of tools for at most this time, also after hours."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The limits of one bucket a minute; None: no limit."""

    bucket: str
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


async def book(ctx: JobContext, rate: Rate, tokens: int) -> None:
    """Counts a chat turn's call, which did not wait. Later calls of tools wait for it, a minute at most for all."""
    with contextlib.suppress(StoreUnavailable):  # the answer has arrived: it must not be lost and requested again
        for bucket, amount, per_minute in _bookings(rate, tokens):
            if await ctx.reserve(bucket, 0, per_minute) < MAX_AHEAD_SECONDS:
                await ctx.reserve(bucket, amount, per_minute)


class Gate:
    """Delays model calls to keep to the rates. Calls of a process wait one by one; a cancelled call books nothing."""

    def __init__(self) -> None:
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def enter(self, ctx: JobContext, rates: Sequence[Rate], tokens: int) -> None:
        """Waits until the call may begin; `tokens` is its expected use."""
        # The last rate is the tool's and the narrowest: a call that waits there must not yet use up the shared rate.
        for rate in reversed(rates):
            if bookings := _bookings(rate, tokens):
                async with self._turns[rate.bucket]:
                    await asyncio.sleep(max([await ctx.reserve(*booking) for booking in bookings]))

    async def settle(self, ctx: JobContext, rates: Sequence[Rate], expected: int, used: int) -> None:
        """Books the difference between the used and the expected tokens; a negative difference returns tokens."""
        for rate in rates:
            if rate.tokens_per_minute and used != expected:
                await ctx.reserve(*_tokens(rate, used - expected))

    def forget(self, bucket: str) -> None:
        """Drops the lock of a job's bucket when its call has ended."""
        self._turns.pop(bucket, None)


def expected_tokens(instruction: str, material: str) -> int:
    return (len(instruction) + len(material)) // CHARACTERS_PER_TOKEN + ANSWER_TOKENS


def _bookings(rate: Rate, tokens: int) -> list[tuple[str, float, float]]:
    bookings: list[tuple[str, float, float]] = []
    if rate.requests_per_minute:
        bookings.append((f"{rate.bucket}:requests:{rate.requests_per_minute:g}", 1, rate.requests_per_minute))
    if rate.tokens_per_minute:
        bookings.append(_tokens(rate, tokens))
    return bookings


def _tokens(rate: Rate, tokens: int) -> tuple[str, float, float]:
    """Returns a booking. The rate is part of its name, so that bookings at a mistyped rate end with its correction."""
    per_minute = rate.tokens_per_minute or 0
    return f"{rate.bucket}:tokens:{per_minute:g}", tokens, per_minute
