"""An MCP server for tests: on stdin and stdout, or with a port as its argument on HTTP (`sse`: as it once was)."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from mcp.server.fastmcp import Context, FastMCP, Image
from mcp.types import TextContent

ARGUMENTS = sys.argv[1:]
PORT = int(ARGUMENTS[0]) if ARGUMENTS and ARGUMENTS[0].isdigit() else 0
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000a49444154789c63000100000500010d0a2db4"
    "0000000049454e44ae426082"
)

server = FastMCP("sample", host="127.0.0.1", port=PORT, log_level="CRITICAL")


@server.tool()
def add(left: int, right: int = 1) -> int:
    """Add two numbers."""
    return left + right


@server.tool()
def describe(name: str) -> dict[str, Any]:
    """Say something structured."""
    return {"name": name, "length": len(name)}


@server.tool(structured_output=False)
def say(words: list[str]) -> Any:
    """Say each word."""
    return [TextContent(type="text", text=word) for word in words]


@server.tool()
def fail() -> str:
    """Fail with a sentence."""
    raise ValueError("The table has no column 'price'.")


@server.tool(structured_output=False)
def draw() -> Any:
    """Give a picture."""
    return ["Here it is.", Image(data=PIXEL, format="png")]


@server.tool()
async def count(ctx: Context[Any, Any, Any], to: int) -> int:
    """Count with progress."""
    for done in range(1, to + 1):
        await ctx.report_progress(done, to, f"counted {done}")
        await asyncio.sleep(0.08)
    return to


@server.tool()
async def wait(marks: str) -> str:
    """Wait; leave a mark when cancelled."""
    Path(marks).write_text("waiting")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        Path(marks).write_text("cancelled")
        raise
    return "waited"


@server.tool()
def die(marks: str) -> str:
    """End the process."""
    Path(marks).write_text("dying")
    os._exit(3)


@server.tool()
def who() -> dict[str, Any]:
    """Say which process this is."""
    secret = os.environ.get("SECRET", "")
    return {"pid": os.getpid(), "group": os.getpgid(0), "nice": os.nice(0), "secret": len(secret)}


@server.tool()
def variables() -> list[str]:
    """Name the variables of the environment."""
    return sorted(os.environ)


if __name__ == "__main__":
    if "hang" in ARGUMENTS:
        time.sleep(60)
    sys.stdout.write("" if PORT else "Welcome!\n")  # some do, though they must not
    sys.stdout.flush()
    server.run("sse" if "sse" in ARGUMENTS else "streamable-http" if PORT else "stdio")
