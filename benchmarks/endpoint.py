"""A lean OpenAI-compatible endpoint whose words carry their sending times: `python -m benchmarks.endpoint`.

It understands `tokens=` and `rate=` of tests/endpoint.py and streams the words `w0@<time> w1@<time> …`. The
endpoint of the tests can do more, at several times the cost per token; this one must leave the processor to the
servers under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import cast

from tests.endpoint import parse, script_of
from tests.server import ROOT

TICKS_PER_SECOND = 10_000
"""The resolution of the times in the words: monotonic, the same for all processes of a machine."""
WORD = re.compile(r"\bw(\d+)@(\d+)")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
MODELS = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{"object":"list","data":[]}'


def script(*, tokens: int, rate: float) -> str:
    """Returns a message that asks for this answer."""
    return f"Please stream: tokens={tokens} rate={rate:g}"


def now_ticks() -> float:
    return time.monotonic() * TICKS_PER_SECOND


class Connection(asyncio.Protocol):
    """The requests of one client, one after the other."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        if head.startswith(b"GET"):
            self._transport.write(MODELS)
        else:
            Answer(self._transport, body).begin()


class Answer:
    """One streamed answer: a timer for each token, on a grid that does not drift."""

    def __init__(self, transport: asyncio.Transport, body: bytes) -> None:
        wanted = parse(script_of(json.loads(body)["messages"])[0])
        self._transport = transport
        self._tokens = int(wanted.number("tokens"))
        self._seconds_per_token = 1 / wanted.number("rate")
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        self._begun_at = self._loop.time()
        self._transport.write(HEAD + event(chunk('{"role":"assistant","content":""}')))
        self._send(0)

    def _send(self, index: int) -> None:
        if self._transport.is_closing():
            return
        if index == self._tokens:
            self._transport.write(b"".join(self._end()))
            return
        self._transport.write(event(chunk(f'{{"content":"w{index}@{now_ticks():.0f} "}}')))
        self._loop.call_at(self._begun_at + (index + 1) * self._seconds_per_token, self._send, index + 1)

    def _end(self) -> Iterator[bytes]:
        yield event(chunk("{}", finish_reason='"stop"'))
        yield event("[DONE]")
        yield b"0\r\n\r\n"


def chunk(delta: str, finish_reason: str = "null") -> str:
    return (
        '{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1750000000,"model":"bench-model",'
        f'"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish_reason}}}]}}'
    )


def event(data: str) -> bytes:
    """Returns the event as one HTTP chunk."""
    line = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(line), line)


async def serve() -> None:
    """Print the port on stdout and serve until killed."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def running() -> Iterator[tuple[int, str]]:
    """Runs the endpoint as a separate process. Yields its process id and its address."""
    command = [sys.executable, "-m", "benchmarks.endpoint"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve())
