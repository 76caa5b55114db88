"""Tools that do what tools must not do."""

import asyncio
import ctypes
import os
import threading
import time
from pathlib import Path

from toolkit import AsyncToolContext, ToolContext, tool
from toolkit.wire import with_length


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
def speak_out_of_turn(ctx: ToolContext) -> str:
    """Find the socket of the host and write what no worker understands."""
    control = next(thread for thread in threading.enumerate() if thread.name == "control")
    host = control._target.__self__  # type: ignore[attr-defined]
    host._channel.send(with_length(b'{"t":"Pong","words":"number"}'))
    while True:
        time.sleep(0.05)


@tool(run_in="process")
def segfault() -> None:
    """Read what is not there."""
    ctypes.string_at(0)


@tool
def die_times(ctx: ToolContext, marks: str, times: int) -> int:
    """End the process in each of the first runs; then wait and say which process it is."""
    with Path(marks).open("a") as file:
        file.write("ran\n")
    runs = Path(marks).read_text().count("ran")
    if runs <= times:
        os._exit(1)
    ctx.log("info", f"run {runs}")
    while not Path(marks).with_name("go").exists():
        time.sleep(0.005)
    return os.getpid()


@tool
def say_process() -> int:
    """Say which process it is."""
    return os.getpid()


@tool(run_in="process", memory_mb=500)
def abort_for_memory() -> None:
    """End as a C library does that cannot allocate."""
    os.abort()


kept: list[bytes] = []


@tool
async def keep_memory(megabytes: int) -> int:
    """Keep this much for ever, and return the process."""
    kept.append(os.urandom(1) * (megabytes * 1024 * 1024))
    return os.getpid()
