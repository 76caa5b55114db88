"""Tools with a side effect that a test can count: a line in a file for each time something really ran."""

import asyncio
import time
from pathlib import Path

from toolkit import AsyncToolContext, ToolContext, tool


def write_line(file: str, text: str) -> str:
    with Path(file).open("a") as notes:
        notes.write(text + "\n")
    return text


@tool
def note(ctx: ToolContext, file: str, text: str) -> str:
    """Write one line to the file."""
    return write_line(file, text)


@tool
def note_slowly(ctx: ToolContext, file: str, text: str, seconds: float) -> str:
    """Write one line to the file, then work for a while, telling the progress."""
    write_line(file, text)
    begin = time.monotonic()
    while (done := time.monotonic() - begin) < seconds and not ctx.cancelled:
        ctx.report_progress(done, seconds, f"{done:.0f} of {seconds:.0f} seconds")
        time.sleep(0.05)
    return text


@tool
async def note_in_steps(ctx: AsyncToolContext, file: str, steps: int, seconds: float) -> str:
    """Write one line to the file in each of several steps, each of which takes a while."""
    for number in range(steps):

        async def work(text: str = f"step {number}") -> str:
            write_line(file, text)
            await asyncio.sleep(seconds)
            return text

        await ctx.step(str(number), work)
        ctx.report_progress(number + 1, steps, f"step {number}")
    return f"{steps} steps"
