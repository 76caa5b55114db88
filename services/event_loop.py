"""The event loop of Longhaul's processes: uvloop, which uses a third less CPU than asyncio's loop."""

from __future__ import annotations

import _asyncio
import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """`asyncio.run`, on uvloop."""
    import uvloop  # it keeps the classes of tasks and futures that it finds: not before `take_over`

    with asyncio.Runner(loop_factory=uvloop.new_event_loop, debug=debug) as runner:
        return runner.run(main)


def take_over() -> None:
    """From now on, `asyncio.run` uses uvloop, with tasks and futures in C.

    `chainlit run` puts asyncio's slow Python ones in their place, so that notebooks may run a loop within a loop;
    nothing here does. To be called before there is a loop.
    """
    asyncio.Task = asyncio.tasks.Task = _asyncio.Task  # type: ignore[misc]
    asyncio.Future = asyncio.futures.Future = _asyncio.Future  # type: ignore[misc]
    asyncio.run = run
