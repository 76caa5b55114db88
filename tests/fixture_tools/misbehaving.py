"""Tools that do what tools must not do."""

import os
import signal
import time

from toolkit import AsyncToolContext, ToolContext, tool


@tool
async def block_the_loop(ctx: AsyncToolContext, seconds: float) -> str:
    """Sleep without giving way."""
    time.sleep(seconds)  # noqa: ASYNC251  # the very mistake to survive
    return f"slept {seconds} seconds"


@tool
async def burn_the_loop(ctx: AsyncToolContext, seconds: float) -> str:
    """Calculate without giving way."""
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        rounds += sum(number * number for number in range(1000)) > 0
    return f"{rounds} rounds"


@tool
def leave(ctx: ToolContext) -> str:
    """End the process."""
    os._exit(1)


@tool(run_in="process")
def end_worker(ctx: ToolContext) -> None:
    """Ends the process that has given it this call, as a fault of a library would."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
