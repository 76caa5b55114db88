"""Transports to an MCP server: a child process, or HTTP."""

import asyncio
import contextlib
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import anyio
import httpx
import pydantic
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.sse import sse_client
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage

from toolkit.mcp_servers import McpServer

FromServer: TypeAlias = MemoryObjectReceiveStream[SessionMessage | Exception]
ToServer: TypeAlias = MemoryObjectSendStream[SessionMessage]
Streams: TypeAlias = tuple[FromServer, ToServer]

MAX_LINE_BYTES = 32 * 1024 * 1024
"""The longest line of a server: an image in base64 is one line."""
LEAVE_SECONDS = 0.5
"""How long a child process may live after the end of its input."""
HTTP_SECONDS = 30.0
"""The limit of each step of a request except reading the response, which the call's own limit bounds."""


def open_transport(server: McpServer) -> AbstractAsyncContextManager[Streams]:
    """Opens the streams from and to a server; the first ends with it. Raises OSError or httpx errors, in groups."""
    match server.kind:
        case "stdio":
            return _child(server)
        case "sse":
            return sse_client(server.url, headers=dict(server.headers), timeout=HTTP_SECONDS, sse_read_timeout=86_400)
    return _http(server)


@asynccontextmanager
async def _http(server: McpServer) -> AsyncIterator[Streams]:
    timeout = httpx.Timeout(HTTP_SECONDS, read=None)
    async with (
        httpx.AsyncClient(headers=dict(server.headers), timeout=timeout) as client,
        streamable_http_client(server.url, http_client=client) as (incoming, outgoing, _),
    ):
        yield incoming, outgoing


@asynccontextmanager
async def _child(server: McpServer) -> AsyncIterator[Streams]:
    """Starts a child process. The SDK's transport would give it a new session, in which it outlives a killed host."""
    process = await asyncio.create_subprocess_exec(
        *(server.command, *server.arguments),
        stdin=PIPE,
        stdout=PIPE,
        env={**get_default_environment(), **server.environment},
        cwd=server.folder,
        limit=MAX_LINE_BYTES,
    )
    send, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, receive = anyio.create_memory_object_stream[SessionMessage](0)
    moving = [asyncio.create_task(_read(process, send)), asyncio.create_task(_write(process, receive, send))]
    try:
        yield incoming, outgoing
    finally:
        for task in moving:
            task.cancel()
        _, written = await asyncio.gather(*moving, return_exceptions=True)
        await _end(process)
        for stream in (send, incoming, outgoing, receive):
            stream.close()
    if isinstance(written, BrokenPipeError):
        raise written


async def _read(process: Process, send: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
    assert process.stdout is not None
    with send:
        while line := await process.stdout.readline():
            try:
                message = JSONRPCMessage.model_validate_json(line)
            except pydantic.ValidationError:  # some servers also print other text to their output
                continue
            await send.send(SessionMessage(message))


async def _write(
    process: Process,
    receive: MemoryObjectReceiveStream[SessionMessage],
    send: MemoryObjectSendStream[SessionMessage | Exception],
) -> None:
    """Raises BrokenPipeError for a message that the server cannot have received, as it was already dead."""
    assert process.stdin is not None
    async for message in receive:
        text = message.message.model_dump_json(by_alias=True, exclude_none=True)
        process.stdin.write(text.encode() + b"\n")
        if process.stdin.transport.is_closing():
            send.close()
            raise BrokenPipeError
        with contextlib.suppress(ConnectionError):  # it died while receiving: the reader notices
            await process.stdin.drain()


async def _end(process: Process) -> None:
    """Close its input first, as the protocol requires, which also ends a server behind a wrapper; then kill it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
