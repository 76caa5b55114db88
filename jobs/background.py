"""Background work that runs for as long as its process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0


async def keep_running(work: Callable[[], Awaitable[bool | None]], *, name: str) -> None:
    """Call `work` until it returns True. After a failure, log it, pause, and call `work` again.

    Nothing awaits such a task while it works. If one failed read ended it, everything that depends on it would wait
    forever, and no log line would say so.
    """
    while True:
        try:
            if await work():
                return
        except Exception:
            logger.exception("background work failed; trying again", extra={"fields": {"work": name}})
            await asyncio.sleep(PAUSE_SECONDS)
