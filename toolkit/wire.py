"""The transport between a worker and its tool hosts: JSON values, each after its length, on a socket pair."""

import asyncio
import json
import socket
import struct
import threading
from typing import Any, TypeAlias

import pydantic_core

from toolkit.errors import NotJson

JSON: TypeAlias = Any
"""A value that json.loads returns. With a recursive alias, invariant lists would burden every author."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Pass larger data as artifacts: a message is parsed on the worker's loop, where 4 MiB take about 20 ms."""
MCP_OPTION = "--mcp-servers"
"""On a host's command line, before the file of MCP servers and the seconds that each has to connect."""
AGENTS_OPTION = "--agents"
"""On a host's command line, before directories of agents."""
LENGTH = struct.Struct("!I")
"""The number of bytes that follow."""


class MessageTooLarge(NotJson):
    """The message would be larger than MAX_MESSAGE_BYTES."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it has {size / 1e6:.1f} MB, and the limit is {MAX_MESSAGE_BYTES / 1e6:.1f} MB")


def dump(value: JSON) -> bytes:
    """Returns JSON in UTF-8. Lone surrogates, which cannot be stored, become '?'. Raises NotJson."""
    try:
        text = ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(_reason(error)) from error
    return text.encode("utf-8", "replace")


def plain(value: object) -> JSON:
    """Returns the value as it is read back after a restart: tuples are lists, models are objects. Raises NotJson."""
    return json.loads(dump(value))


def with_length(body: bytes) -> bytes:
    """Returns the body with its length in front. Raises MessageTooLarge."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(len(body))
    return LENGTH.pack(len(body)) + body


async def read(reader: asyncio.StreamReader) -> bytes | None:
    """Returns the next body, or None at the end of the stream. Raises MessageTooLarge for a length beyond the limit."""
    try:
        (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        if size > MAX_MESSAGE_BYTES:
            raise MessageTooLarge(size)
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


class Channel:
    """The host's end, for threads. Sending blocks while the worker is behind, which slows a tool that sends a lot."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._incoming = connection.makefile("rb")
        self._sending = threading.Lock()

    def send(self, data: bytes) -> None:
        """Raises OSError when the worker is gone."""
        with self._sending:
            self._connection.sendall(data)

    def receive(self) -> bytes | None:
        """Returns the next body, or None at the end of the stream."""
        header = self._incoming.read(LENGTH.size)
        if len(header) < LENGTH.size:
            return None
        return self._incoming.read(LENGTH.unpack(header)[0]) or None


def _plain(value: object) -> JSON:
    if hasattr(value, "tolist"):  # numpy scalars and arrays, pandas series
        return value.tolist()
    try:
        return pydantic_core.to_jsonable_python(value)
    except pydantic_core.PydanticSerializationError as error:
        raise TypeError(f"it contains a {type(value).__name__}") from error


ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=_plain
)
"""Made once: json.dumps with options makes one for each value. A value that contains itself raises RecursionError."""


def _reason(error: Exception) -> str:
    text = str(error)
    if "float values" in text:
        return "it contains NaN or infinity (use None)"
    if isinstance(error, RecursionError):
        return "it contains itself or is nested too deeply"
    return text
