"""The real language model of scripts/real-model, started and killed; and a tap that hears what it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests import processes
from tests.ports import free_port
from tests.server import ROOT
from tests.waiting import until

SCRIPT = ROOT / "scripts" / "real-model"
NAME = "smollm2-135m-instruct"
CONTEXT_TOKENS = 1024
"""Bounds the longest answer, too: one of fifty repeats itself until there is no more room."""
START_SECONDS = 120
READ_BYTES = 65536


class RealModel:
    """One port on loopback, and the process that serves the model there."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._log_file = folder / "model.log"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = await asyncio.to_thread(self._spawn)
        await until(self._serves, within=START_SECONDS, what=f"the model answers; its log: {self._log()}")

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def work_before_a_word(self) -> float:
        """Asks for one word. Returns the processor's seconds until it came: many, if another answer came before it."""
        before = self._cpu_seconds()
        question = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        async with httpx.AsyncClient(timeout=START_SECONDS) as client:
            (await client.post(f"{self.url}/chat/completions", json=question)).raise_for_status()
        return self._cpu_seconds() - before

    def _cpu_seconds(self) -> float:
        assert self._process is not None
        fields = (processes.PROC / str(self._process.pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _spawn(self) -> subprocess.Popen[bytes]:
        # The script becomes the server: there is one process.
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                [str(SCRIPT), str(self.port), str(CONTEXT_TOKENS)],
                env={"PATH": os.environ["PATH"], "HOME": str(self._log_file.parent)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the model's server ended: {self._log()}"
        try:
            async with httpx.AsyncClient(timeout=START_SECONDS) as client:
                return (await client.get(f"{self.url}/models")).is_success
        except httpx.TransportError:
            return False

    def _log(self) -> str:
        return self._log_file.read_text(errors="replace")[-2000:]


@dataclass
class Line:
    """One connection: all that went through it."""

    asked: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)


class Tap:
    """`async with Tap(port) as tap:` passes connections to `tap.url` on to the port, and keeps what they say."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._lines: list[Line] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def said(self, question: str) -> list[str]:
        """The texts of the pieces of the answer to the one request whose last message contains the question."""
        [answer] = [
            answer
            for line in self._lines
            for request, answer in zip(bodies(line.asked), bodies(line.answered), strict=False)
            if request and question in json.loads(request)["messages"][-1]["content"]
        ]
        data = [line.removeprefix(b"data: ") for line in answer.splitlines() if line.startswith(b"data: {")]
        return [json.loads(chunk)["choices"][0]["delta"].get("content") or "" for chunk in data]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line()
        self._lines.append(line)
        there = await asyncio.open_connection("127.0.0.1", self._target_port)
        with contextlib.closing(writer), contextlib.closing(there[1]), contextlib.suppress(OSError):
            passing = [_pass(reader, there[1], line.asked), _pass(there[0], writer, line.answered)]
            await asyncio.wait(map(asyncio.ensure_future, passing), return_when=asyncio.FIRST_COMPLETED)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(READ_BYTES):
            kept += data
            writer.write(data)
            await writer.drain()


def bodies(stream: bytes | bytearray) -> list[bytes]:
    """The bodies of the HTTP messages that came one after the other."""
    found, rest = [], bytes(stream)
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"transfer-encoding") == b"chunked":
            body, rest = _unchunked(rest)
        else:
            length = int(fields.get(b"content-length", 0))
            body, rest = rest[:length], rest[length:]
        found.append(body)
    return found


def _unchunked(rest: bytes) -> tuple[bytes, bytes]:
    """The body, and what follows it."""
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
        if not length:
            break
    return body, rest
