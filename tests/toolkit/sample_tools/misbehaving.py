"""Tools that do what tools must not do."""

import asyncio
import ctypes
import os
import time
from pathlib import Path

from toolkit import AsyncToolContext, ToolContext, tool


@tool
async def block_the_loop(ctx: AsyncToolContext, seconds: float) -> str:
    """Sleep without giving way."""
    ctx.log("info", "blocking")
    time.sleep(seconds)  # noqa: ASYNC251 - the very mistake to survive
    return "slept"


@tool
def hold_the_interpreter(ctx: ToolContext, size: int) -> int:
    """Calculate in one C call that never lets another thread run."""
    ctx.log("info", "holding")
    return sum(range(size))


@tool
def leave(ctx: ToolContext, go: str) -> None:
    """End the process once the file is there."""
    ctx.log("info", "about to leave")
    while not Path(go).exists():
        time.sleep(0.005)
    os._exit(1)


@tool
async def leave_from_loop(code: int) -> None:
    """End the process from a task nobody awaits."""

    async def go() -> None:
        raise SystemExit(code)

    task = asyncio.create_task(go())
    await asyncio.wait({task})


@tool(run_in="process")
def segfault() -> None:
    """Read what is not there."""
    ctypes.string_at(0)
