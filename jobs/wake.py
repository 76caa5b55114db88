"""Wake-ups between the processes of one machine: each has a Unix datagram socket in a directory that they share.

A wake-up names what changed, but carries no data: readers go to the store. The reader's slow safety poll makes up for
a lost one (full buffer, a process that has just started).
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

logger = logging.getLogger(__name__)

Listener = Callable[[frozenset[str]], None]

DATAGRAM_BYTES = 32_768
TICK_NANOSECONDS = 50_000_000


def job_topic(job_id: str) -> str:
    return f"job {job_id}"


def thread_topic(thread_id: str) -> str:
    return f"thread {thread_id}"


class Wake(Protocol):
    """Topics: `job <id>`, `thread <id>`, `queue`, `cancel`, `workers`."""

    def notify(self, topics: Iterable[str]) -> None:
        """Send a wake-up. Callable from any thread; never waits, never fails."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on the event loop for each wake-up. Returns the function that unsubscribes it."""


class DatagramWake:
    """`async with DatagramWake(directory) as wake`; creates the directory if it is missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._listeners: list[Listener] = []
        self._peers: tuple[str, ...] = ()
        self._peers_at = -1

    async def __aenter__(self) -> Self:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A socket's address has at most 107 bytes, so it names the directory by its descriptor, not by its path.
        self._descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self._address(self._name))
        asyncio.get_running_loop().add_reader(self._socket, self._receive)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        (self._directory / self._name).unlink(missing_ok=True)
        os.close(self._descriptor)

    def notify(self, topics: Iterable[str]) -> None:
        try:
            for datagram in packed(topics, DATAGRAM_BYTES):
                for peer in self._known_peers():
                    self._send(datagram, peer)
        except OSError as error:  # such as no more descriptors: the safety polls find the change
            logger.warning("wake-up not sent", extra={"fields": {"problem": error.strerror}})

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _address(self, name: str) -> str:
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def _known_peers(self) -> tuple[str, ...]:
        """Returns the names of the directory's sockets, listed again when the directory changed.

        Its modification time moves in ticks of some milliseconds: a list made in the tick of one change may miss a
        later change of the same tick.
        """
        changed = os.fstat(self._descriptor).st_mtime_ns
        if changed != self._peers_at or time.time_ns() - changed < TICK_NANOSECONDS:
            self._peers_at, self._peers = changed, tuple(os.listdir(self._descriptor))  # noqa: PTH208  # by descriptor
        return self._peers

    def _send(self, datagram: bytes, peer: str) -> None:
        try:
            self._socket.sendto(datagram, self._address(peer))
        except (ConnectionRefusedError, FileNotFoundError):  # its process has ended
            (self._directory / peer).unlink(missing_ok=True)
        except OSError:  # its buffer is full, or this socket is closed: its safety poll finds the change
            return

    def _receive(self) -> None:
        topics: set[str] = set()
        while True:
            try:
                topics.update(self._socket.recv(DATAGRAM_BYTES * 2).decode().split("\n"))
            except BlockingIOError:
                break
        for listener in tuple(self._listeners):
            listener(frozenset(topics))


def packed(topics: Iterable[str], size: int) -> list[bytes]:
    """Returns the topics in as few datagrams of this size as possible."""
    full: list[bytes] = []
    datagram = b""
    for topic in sorted(topics):
        line = topic.encode()
        if datagram and len(datagram) + len(line) >= size:
            full.append(datagram)
            datagram = b""
        datagram = datagram + b"\n" + line if datagram else line
    return [*full, datagram] if datagram else full
