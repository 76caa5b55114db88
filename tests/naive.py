"""What chat servers usually get wrong, as small as can be; tests/test_classic_failures.py runs it for real."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

WORDS = 5
BUSY_SECONDS = 3.0


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok")


async def words() -> AsyncIterator[bytes]:
    for number in range(WORDS):
        yield f"data: w{number}\n\n".encode()
        await asyncio.sleep(0.1)


async def buffered(request: Request) -> Response:
    """Does not tell the proxy that it is a stream."""
    return StreamingResponse(words(), media_type="text/event-stream")


async def starved(request: Request) -> Response:
    """Makes words as fast as it can, and never gives way."""

    async def tight() -> AsyncIterator[bytes]:
        end = time.monotonic() + BUSY_SECONDS
        while time.monotonic() < end:
            sum(range(50_000))
            yield b"data: w\n\n"

    return StreamingResponse(tight(), media_type="text/event-stream")


async def closed(request: Request) -> Response:
    """The client of the stream's source is closed when the handler returns; the stream begins after that."""
    async with httpx.AsyncClient() as client:
        upstream = await client.send(client.build_request("GET", f"{request.base_url}buffered"), stream=True)
        return StreamingResponse(upstream.aiter_raw(), media_type="text/event-stream")


async def noisy(socket: WebSocket) -> None:
    """Takes for granted that its viewer stays."""
    await socket.accept()
    while True:
        await socket.send_text("word")
        await asyncio.sleep(0.01)


async def blocking(request: Request) -> Response:
    """Calls what blocks in the loop that serves everybody."""
    time.sleep(BUSY_SECONDS)  # noqa: ASYNC251  # the very mistake
    return PlainTextResponse("done")


app = Starlette(
    routes=[
        *(Route(f"/{handler.__name__}", handler) for handler in (healthz, buffered, starved, closed, blocking)),
        WebSocketRoute("/noisy", noisy),
    ]
)
