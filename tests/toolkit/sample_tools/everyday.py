"""One tool of each kind for everything a context offers."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from toolkit import AsyncToolContext, ToolContext, ToolError, UploadedFile, tool


def use_everything(ctx: ToolContext, number: int) -> dict[str, Any]:
    ctx.log("info", f"number {number}")
    loaded = ctx.step("load", lambda: (number, ctx.complete("load", "it")))
    parts = ctx.map([1, 2, 3], lambda item: [item, ctx.complete("double", str(item))], limit=2)
    again = ctx.map(["a"], lambda item: item * 2)
    ctx.save_artifact("numbers.csv", b"1,2,3")
    ctx.report_progress(3, 3, "done")
    ctx.plan(["count", "guess", "write"], at=2, skipped=[1])
    ctx.source("Numbers", url="https://example.org/numbers", page=3)
    said = ctx.complete("conclude", "all")
    origin = [ctx.user, ctx.thread_id, ctx.idempotency_key, ctx.cancelled, [file.name for file in ctx.files]]
    return {"loaded": loaded, "parts": parts, "again": again, "said": said, "origin": origin}


@tool
def in_thread(ctx: ToolContext, number: int) -> dict[str, Any]:
    """Use everything a context offers."""
    return use_everything(ctx, number)


@tool(run_in="process")
def in_process(ctx: ToolContext, number: int) -> dict[str, Any]:
    """Use everything a context offers."""
    return use_everything(ctx, number)


@tool
async def on_loop(ctx: AsyncToolContext, number: int) -> dict[str, Any]:
    """Use everything a context offers."""

    async def load() -> tuple[int, str]:
        return number, await ctx.complete("load", "it")

    async def double(item: int) -> list[Any]:
        return [item, await ctx.complete("double", str(item))]

    async def twice(item: str) -> str:
        return item * 2

    ctx.log("info", f"number {number}")
    loaded = await ctx.step("load", load)
    parts = await ctx.map([1, 2, 3], double, limit=2)
    again = await ctx.map(["a"], twice)
    await ctx.save_artifact("numbers.csv", b"1,2,3")
    ctx.report_progress(3, 3, "done")
    ctx.plan(["count", "guess", "write"], at=2, skipped=[1])
    ctx.source("Numbers", url="https://example.org/numbers", page=3)
    said = await ctx.complete("conclude", "all")
    origin = [ctx.user, ctx.thread_id, ctx.idempotency_key, ctx.cancelled, [file.name for file in ctx.files]]
    return {"loaded": loaded, "parts": parts, "again": again, "said": said, "origin": origin}


@tool
def add(left: int, right: int = 1) -> int:
    """Add two numbers."""
    return left + right


@tool
async def add_async(left: int, right: int = 1) -> int:
    """Add two numbers."""
    return left + right


@tool
def read_file(ctx: ToolContext, file: UploadedFile, others: list[UploadedFile] | None = None) -> list[Any]:
    """Read an uploaded file."""
    with ctx.open(file) as content:
        text = content.read().decode()
    return [file.id, file.name, file.mime, file.size, text, [other.name for other in others or []]]


@tool
async def read_file_async(file: UploadedFile) -> str:
    """Read an uploaded file."""
    return file.path.read_text()


@tool
def wait_politely(ctx: ToolContext) -> str:
    """Wait until cancelled."""
    ctx.log("info", "waiting")
    while not ctx.cancelled:
        time.sleep(0.01)
    return "asked to stop"


@tool
def wait_in_complete(ctx: ToolContext) -> str:
    """Wait for a model that does not answer."""
    return ctx.complete("hang", "")


@tool
def wait_in_python(ctx: ToolContext) -> str:
    """Calculate for ever in bytecode."""
    ctx.log("info", "waiting")
    while True:
        sum(range(1000))


@tool
def wait_stubbornly(ctx: ToolContext) -> str:
    """Wait in one call that nothing can interrupt."""
    ctx.log("info", "waiting")
    time.sleep(60)
    return "slept"


@tool
def wait_for_child(ctx: ToolContext) -> str:
    """Wait for a child process."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        ctx.log("info", str(child.pid))
    return "ended"


@tool(run_in="process")
def wait_in_process(ctx: ToolContext) -> str:
    """Wait in a process of its own."""
    ctx.log("info", "waiting")
    time.sleep(60)
    return "slept"


@tool
async def wait_on_loop(ctx: AsyncToolContext) -> str:
    """Wait as one should on a loop."""
    ctx.log("info", "waiting")
    await asyncio.sleep(60)
    return "slept"


@tool
async def wait_and_swallow(ctx: AsyncToolContext) -> str:
    """Wait, and refuse to be cancelled."""
    ctx.log("info", "waiting")
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:  # the very mistake to survive
            continue


@tool
async def wait_in_to_thread(ctx: AsyncToolContext) -> str:
    """Wait in a thread of an async tool."""
    ctx.log("info", "waiting")
    await asyncio.to_thread(time.sleep, 60)
    return "slept"


@tool
async def wait_and_count(ctx: AsyncToolContext, seconds: float, marks: str) -> str:
    """Leave a mark, wait, return: tells how often it was run."""
    with Path(marks).open("a") as file:  # noqa: ASYNC230 - one line
        file.write("ran\n")
    ctx.log("info", "waiting")
    await asyncio.sleep(seconds)
    return "done"


@tool(timeout_seconds=0.3)
def too_slow() -> str:
    """Take longer than allowed."""
    time.sleep(60)
    return "slept"


@tool
def say_sentence() -> None:
    """Fail with a sentence."""
    raise ToolError("The table has no column 'price'.")


@tool
async def fail_unexpectedly() -> None:
    """Fail by mistake."""
    raise KeyError("secret detail")


@tool
def leave_by_exit() -> None:
    """Call sys.exit."""
    sys.exit(3)


@tool
def catch_failure(ctx: ToolContext) -> str:
    """Live without the model."""
    try:
        return ctx.complete("refuse", "")
    except ToolError as error:
        return f"went on: {error}"


@tool
def same_step_twice(ctx: ToolContext) -> None:
    """Use one step name twice."""
    ctx.step("load", lambda: 1)
    ctx.step("load", lambda: 2)


@tool
def map_with_failure(ctx: ToolContext) -> None:
    """Fail in one part."""

    def work(item: int) -> int:
        if item == 2:
            raise ToolError("Part 3 is broken.")
        return item

    ctx.map(range(100), work, limit=1)


@tool
async def map_with_failure_async(ctx: AsyncToolContext) -> None:
    """Fail in one part."""

    async def work(item: int) -> int:
        if item == 2:
            raise ToolError("Part 3 is broken.")
        return item

    await ctx.map(range(100), work, limit=1)


@tool
def return_value(kind: str) -> Any:
    """Return something unusual."""
    circle: list[Any] = []
    circle.append(circle)
    values = {
        "object": object(),
        "nan": {"mean": float("nan")},
        "circle": circle,
        "large": "x" * 10_000_000,
        "tuple": (1, {"path": Path("a")}),
        "surrogate": "a\ud800b",
    }
    return values[kind]


@tool
def talk_too_much(ctx: ToolContext, times: int) -> str:
    """Report without end."""
    for number in range(times):
        ctx.report_progress(number, times, "x" * 10_000)
        ctx.log("info", "y" * 10_000)
    return "done"


@tool
def save_large(ctx: ToolContext) -> str:
    """Save a file far larger than a message may be."""
    ctx.save_artifact("large.bin", b"x" * 10_000_000)
    return "saved"


@tool(run_in="process", memory_mb=200)
def eat_memory(megabytes: int) -> int:
    """Allocate."""
    return len(bytearray(megabytes * 1_000_000))


@tool
def count_children(ctx: ToolContext) -> list[str]:
    """Print, and say what the process can import."""
    sys.stdout.write("printed by a tool\n")
    return sys.path
