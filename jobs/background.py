"""Background work that must not end before its process does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0


async def again_and_again(work: Callable[[], Awaitable[bool | None]], *, name: str) -> None:
    """Run `work` until it gives True. When it fails, log it, pause, and run it again.

    Such a task has nobody who awaits it while it works: were it to die of one failed read, everything that waits for
    it would wait for ever, in silence.
    """
    while True:
        try:
            if await work():
                return
        except Exception:
            logger.exception("background work failed; trying again", extra={"fields": {"work": name}})
            await asyncio.sleep(PAUSE_SECONDS)
