"""MCP over stdio: each message of the client is passed to `POST /mcp` of a running server, and what comes back to the
client. A cut connection or a restarted server costs a call nothing: it is asked for again under the same key."""

import asyncio
import base64
import contextlib
import json
import os
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import httpx
from httpx_sse import EventSource

from scripts.terminal.server import (
    AWAY,
    CONNECT_SECONDS,
    DEFAULT_URL,
    KEY,
    LOOPBACK,
    SILENCE_SECONDS,
    URL,
    Refused,
    address_of,
    headers_of,
)

Message = dict[str, Any]

VERSION = "io.modelcontextprotocol/protocolVersion"
NAMED_BY = {"tools/call": "name", "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}
"""The parameter that the header `Mcp-Name` repeats."""
INTERNAL = -32603
ABSENT = f"The server does not answer: start it, or name another with {URL}."
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.2, 5.0
ABSENT_SECONDS = 15.0
"""How long a server is waited for that has not taken the request."""
PATIENCE_SECONDS = 900.0
"""How long a server is waited for that has."""
FAREWELL_SECONDS = 3.0
"""How long stopping what the client has left behind may take."""


class Cut(Exception):
    """The connection ended before the response; the request may be sent again."""


@dataclass(kw_only=True)
class Relay:
    """One request of the client on its way."""

    message: Message
    line: bytes
    """The message as the client wrote it."""
    headers: Mapping[str, str]
    job_id: str | None = None
    """The job of a `tools/call`, once the server has taken it."""
    refused: Message | None = None
    """What the server said when it could not take the request."""
    progress: float = -1.0
    """The last that was passed on; what comes again is not."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Bridge:
    """`async with httpx.AsyncClient(…) as client: await Bridge(client, out).run(lines)`."""

    def __init__(self, client: httpx.AsyncClient, out: BinaryIO) -> None:
        self._client = client
        self._out = out
        self._version = ""  # of a client that tells it only once
        self._relays: dict[str | int, Relay] = {}
        self._has_told = False

    async def run(self, lines: AsyncIterator[bytes]) -> None:
        """Serves until the client closes its side; its calls that still wait are stopped then, its tasks are not."""
        async for line in lines:
            if line.strip():
                await self._take(line)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                for request_id in [*self._relays]:
                    await self._cancel(request_id)

    async def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            self._write({"jsonrpc": "2.0", "error": {"code": -32700, "message": "The line is not valid JSON."}})
            return
        if not isinstance(message, dict) or "id" not in message or not isinstance(message.get("method"), str):
            await self._take_notification(message)
            return
        relay = Relay(message=message, line=line, headers=self._headers(message))
        relay.task = asyncio.create_task(self._pass_on(relay))
        if isinstance(message["id"], str | int):
            self._relays[message["id"]] = relay

    async def _take_notification(self, message: Any) -> None:
        if isinstance(message, dict) and message.get("method") == "notifications/cancelled":
            params = message.get("params")
            request_id = params.get("requestId") if isinstance(params, dict) else None
            if isinstance(request_id, str | int):
                await self._cancel(request_id)

    async def _cancel(self, request_id: str | int) -> None:
        """Ends the request without a response, and its job."""
        relay = self._relays.pop(request_id, None)
        if relay is None or relay.task is None:
            return
        relay.task.cancel()
        if relay.job_id is not None:
            with contextlib.suppress(httpx.HTTPError):
                await self._client.post(f"/api/jobs/{relay.job_id}/cancel")

    def _headers(self, message: Message) -> dict[str, str]:
        params = message.get("params")
        known = params if isinstance(params, dict) else {}
        meta = known.get("_meta")
        told = meta.get(VERSION) if isinstance(meta, dict) else None
        version = told if isinstance(told, str) else self._version
        headers = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "Mcp-Method": _encoded(message["method"]),
        }
        if version:
            headers["MCP-Protocol-Version"] = _encoded(version)
        name = known.get(NAMED_BY.get(message["method"], ""))
        if isinstance(name, str):
            headers["Mcp-Name"] = _encoded(name)
        if message["method"] == "tools/call":
            headers["Idempotency-Key"] = uuid.uuid4().hex
        return headers

    async def _pass_on(self, relay: Relay) -> None:
        """Sends the request again and again until its response is there, or the server stays away too long."""
        loop = asyncio.get_running_loop()
        lost_at, pause = loop.time(), PAUSE_SECONDS
        try:
            while True:
                try:
                    async for message in self._messages(relay):
                        lost_at, pause = loop.time(), PAUSE_SECONDS
                        self._pass_back(relay, message)
                        if "method" not in message:
                            return
                except Cut:
                    self._tell_once()
                patience = ABSENT_SECONDS if relay.job_id is None else PATIENCE_SECONDS
                if loop.time() - lost_at > patience:
                    self._write(relay.refused or _error(relay, INTERNAL, ABSENT))
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
        finally:
            self._relays.pop(relay.message["id"], None)

    async def _messages(self, relay: Relay) -> AsyncIterator[Message]:
        """Yields the messages of one connection. Raises `Cut`."""
        try:
            async with self._client.stream("POST", "/mcp", content=relay.line, headers=relay.headers) as response:
                relay.job_id = response.headers.get("x-job-id", relay.job_id)
                if response.status_code in AWAY:
                    relay.refused = _response(relay, response.status_code, await response.aread())
                    raise Cut
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    async for event in EventSource(response).aiter_sse():
                        if event.data:
                            yield json.loads(event.data)
                    raise Cut
                yield _response(relay, response.status_code, await response.aread())
        except (httpx.HTTPError, ValueError):  # cut off, perhaps in the middle of an event
            raise Cut from None

    def _pass_back(self, relay: Relay, message: Message) -> None:
        if message.get("method") == "notifications/progress":
            progress = message["params"]["progress"]
            if progress <= relay.progress:
                return
            relay.progress = progress
        if relay.message["method"] == "initialize":
            self._version = message.get("result", {}).get("protocolVersion", self._version)
        self._write(message)

    def _tell_once(self) -> None:
        """Clients show stderr in their log; the response comes only when there is nothing left to wait for."""
        if not self._has_told:
            print(f"{ABSENT} Trying again.", file=sys.stderr, flush=True)
        self._has_told = True

    def _write(self, message: Message) -> None:
        self._out.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        self._out.flush()


def _response(relay: Relay, status: int, body: bytes) -> Message:
    """Returns the response, also for a refusal that names no request."""
    if status == httpx.codes.UNAUTHORIZED:
        return _error(relay, INTERNAL, f"The server wants a key that it knows: put it into the variable {KEY}.")
    with contextlib.suppress(ValueError):
        message = json.loads(body)
        if isinstance(message, dict) and ("result" in message or "error" in message):
            return {**message, "id": relay.message["id"]}
    return _error(relay, INTERNAL, f"The server answered with the status {status}: is it a Longhaul server?")


def _error(relay: Relay, code: int, sentence: str) -> Message:
    return {"jsonrpc": "2.0", "id": relay.message["id"], "error": {"code": code, "message": sentence}}


def _encoded(text: str) -> str:
    """Returns the value of a header for any text, as the protocol encodes what a header cannot carry."""
    is_plain = text.isascii() and text.isprintable() and text == text.strip()
    if is_plain and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8', 'replace')).decode()}?="


async def lines_of(stream: BinaryIO) -> AsyncIterator[bytes]:
    """Yields the lines, which a thread reads: a process that ends does not wait for it."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            for line in stream:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, b"")

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while line := await lines.get():
        yield line


async def serve() -> None:
    """Raises `Refused` when the variables name no server."""
    url = (os.environ.get(URL) or DEFAULT_URL).rstrip("/")
    address = address_of(url)
    client = httpx.AsyncClient(
        base_url=address,
        headers=headers_of(os.environ.get(KEY, "")),
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=None),  # each waiting call has its own
        trust_env=address.host not in LOOPBACK,
    )
    async with client:
        await Bridge(client, sys.stdout.buffer).run(lines_of(sys.stdin.buffer))


def main() -> int:
    """Returns the exit code."""
    try:
        asyncio.run(serve())
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0
