"""Wake-ups between the processes of one machine: a Unix datagram socket for each, in a directory they share.

A wake-up names what changed, never what it is: readers go to the store. One that is lost (a full buffer, a process
that just starts) is made good by the reader's slow safety poll.
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
        """Callable from any thread; never waits, never fails."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on the event loop for each wake-up; gives the function that ends it."""


class DatagramWake:
    """`async with DatagramWake(directory) as wake`; the directory is made if it is missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._listeners: list[Listener] = []
        self._peers: tuple[str, ...] = ()
        self._peers_at = -1

    async def __aenter__(self) -> Self:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A socket's address holds 107 bytes: name it by the directory's descriptor, however long its path is.
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
            for datagram in datagrams(topics):
                for peer in self._known_peers():
                    self._send(datagram, peer)
        except OSError as error:  # no more descriptors, say: the safety polls find the change
            logger.warning("wake-up not sent", extra={"fields": {"problem": error.strerror}})

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _address(self, name: str) -> str:
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def _known_peers(self) -> tuple[str, ...]:
        """The sockets of the directory, listed again when it changed.

        Its time moves in ticks of some milliseconds: a list made in the tick of a change may miss the next one.
        """
        changed = os.fstat(self._descriptor).st_mtime_ns
        if changed != self._peers_at or time.time_ns() - changed < TICK_NANOSECONDS:
            self._peers_at, self._peers = changed, tuple(os.listdir(self._descriptor))  # noqa: PTH208  # by descriptor
        return self._peers

    def _send(self, datagram: bytes, peer: str) -> None:
        try:
            self._socket.sendto(datagram, self._address(peer))
        except (ConnectionRefusedError, FileNotFoundError):  # its process is gone
            (self._directory / peer).unlink(missing_ok=True)
        except OSError:  # its buffer is full, or we are closing: its safety poll finds the change
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


def datagrams(topics: Iterable[str]) -> list[bytes]:
    """The topics in as few datagrams as they fit in."""
    pages: list[bytes] = []
    page = b""
    for topic in sorted(topics):
        line = topic.encode()
        if page and len(page) + len(line) >= DATAGRAM_BYTES:
            pages.append(page)
            page = b""
        page = page + b"\n" + line if page else line
    return [*pages, page] if page else pages
