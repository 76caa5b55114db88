"""Retries of a model call while its endpoint fails. The pauses are in the log, so they are counted across takeovers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from jobs.context import Step
from jobs.events import WaitReason
from models.faults import Fault

MAX_CUTS = 3
"""How many times an answer that broke off is requested again."""


@dataclass(kw_only=True)
class Patience:
    """The patience of one call. The defaults are for a caller without a viewer."""

    seconds: float = 0.0
    """How long it waits in all, if this is longer than the fault's own pauses."""
    waits: int = 0
    """The pauses in earlier attempts of the step."""
    warn: Callable[[str], Awaitable[None]] | None = None
    """Tells the user that the call waits and will be retried."""
    tell: Callable[[WaitReason, float], Awaitable[None]] | None = None
    """Reports the reason of the wait and its end (Unix seconds)."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits for this many seconds, or less if a user ends the wait."""
    withdraw: Callable[[], Awaitable[None]] | None = None
    """Withdraws the text that has arrived; None: that is impossible."""

    async def wait(self, fault: Fault, pause: float) -> None:
        if fault.silent:
            return
        exactly = fault.retry_after is not None
        seconds = pause if exactly else pause * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
        if self.warn is not None:
            again = f"Trying again in {seconds:.1f} s." if seconds else "Trying again."
            await self.warn(f"{fault.reason} {again}")
        if self.tell is not None:  # as the last event: until the next one, the job waits
            limited = fault.code == "model_rate_limited"
            await self.tell("rate_limited" if limited else "endpoint_failed", time.time() + seconds)
        await self.pause(seconds)

    async def withdraws(self, cuts: int) -> bool:
        """Withdraws the text of an answer that broke off, up to a number of times. Returns whether it did."""
        if self.withdraw is None or cuts >= MAX_CUTS:
            return False
        await self.withdraw()
        return True


def patience_of(step: Step, seconds: float | None, *, withdrawn: Callable[[], None] | None = None) -> Patience:
    """Returns the patience of a step; `seconds` None if its text cannot be withdrawn.

    withdrawn: called when the text is withdrawn, before new text arrives.
    """

    async def withdraw() -> None:
        await step.begin_again()
        if withdrawn is not None:
            withdrawn()

    return Patience(
        seconds=seconds or 0.0,
        waits=step.waits,
        warn=partial(step.log, "warning"),
        tell=step.waiting,
        pause=step.pause,
        withdraw=None if seconds is None else withdraw,
    )
