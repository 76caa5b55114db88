"""Requests and tokens a minute: rates that all workers share, kept in the store."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.context import JobContext

CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 200
"""What an answer is taken to need until it is there."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What a bucket lets through in a minute; None: any number."""

    bucket: str
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


class Gate:
    """Lets model calls through. One of a process waits at a bucket at a time, so one that is given up books nothing."""

    def __init__(self) -> None:
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def enter(self, ctx: JobContext, rates: Sequence[Rate], tokens: int) -> None:
        """Wait until the call may begin; `tokens` is what it is expected to use."""
        # The narrowest is the last of them: who waits there must not hold a place in what all share.
        for rate in reversed(rates):
            if bookings := _bookings(rate, tokens):
                async with self._turns[rate.bucket]:
                    await asyncio.sleep(max([await ctx.reserve(*booking) for booking in bookings]))

    async def settle(self, ctx: JobContext, rates: Sequence[Rate], expected: int, used: int) -> None:
        """Book what the call used beyond what was expected, or give back."""
        for rate in rates:
            if rate.tokens_per_minute and used != expected:
                await ctx.reserve(*_tokens(rate, used - expected))

    def forget(self, bucket: str) -> None:
        """A job's own bucket, at its end."""
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
    """The rate is a part of the name: what a mistyped one has booked must not outlive its correction."""
    per_minute = rate.tokens_per_minute or 0
    return f"{rate.bucket}:tokens:{per_minute:g}", tokens, per_minute
