"""Tasks: run some together, keep one running, end one, wait for an event with a limit. Every package may use these."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

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


async def run_together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Returns the results in order. The first failure cancels the others and is raised by itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def cancel_and_wait(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks and wait until they have ended. Their results and errors are dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def wait_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, `seconds` at most. Returns whether it is set.

    Before Python 3.12, `asyncio.wait_for` may swallow a cancellation.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
