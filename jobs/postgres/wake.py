"""Wake-ups between the processes of one PostgreSQL database, by LISTEN and NOTIFY."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg

from jobs.postgres.connection import connect
from jobs.wake import Listener, packed

logger = logging.getLogger(__name__)

CHANNEL = "longhaul"
NOTIFY: LiteralString = "SELECT pg_notify(%s, %s)"
PAYLOAD_BYTES = 7_900
"""PostgreSQL refuses 8,000."""
PAUSE_SECONDS = 0.5
"""Between two attempts to connect."""
ALL_BUT_JOBS = frozenset({"queue", "cancel", "workers"})
"""Topics that may have changed while nothing listened. Followers of jobs poll every second."""


class PostgresWake:
    """`async with PostgresWake(url) as wake`. `url` must reach the server itself: a pooler does not pass LISTEN on.

    Notifications have transactions of their own, behind the commit that they tell of: inside, they would hold a lock of
    the whole server while it flushes.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._listeners: list[Listener] = []
        self._topics: queue.SimpleQueue[frozenset[str] | None] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._listening = threading.Event()
        self._bell, self._ring = socket.socketpair()  # wakes the listening thread at the end
        self._threads = [
            threading.Thread(target=self._send, name="postgres-notify", daemon=True),
            threading.Thread(target=self._receive, name="postgres-listen", daemon=True),
        ]

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        await asyncio.to_thread(self._listening.wait, PAUSE_SECONDS)  # an early wake-up is worth a short wait
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._topics.put(None)
        self._ring.close()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._bell.close()

    def notify(self, topics: Iterable[str]) -> None:
        self._topics.put(frozenset(topics))

    def listen(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # --- sending ----------------------------------------------------------------------------------------------

    def _send(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while (topics := self._next_topics()) is not None:
            try:
                if connection is None or connection.closed:
                    connection = connect(self._url)
                for payload in packed(topics, PAYLOAD_BYTES):
                    connection.execute(NOTIFY, [CHANNEL, payload.decode()])
            except psycopg.Error as failure:  # the safety polls find the change
                logger.warning("wake-up not sent", extra={"fields": {"problem": type(failure).__name__}})
                if connection is not None:
                    connection.close()
        if connection is not None:
            connection.close()

    def _next_topics(self) -> set[str] | None:
        """Returns all topics that wait; None at the end."""
        if (item := self._topics.get()) is None:
            return None
        topics = set(item)
        with contextlib.suppress(queue.Empty):
            while (item := self._topics.get_nowait()) is not None:
                topics |= item
            self._topics.put(None)  # for the next call
        return topics

    # --- receiving --------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        while not self._ending.is_set():
            try:
                with contextlib.closing(connect(self._url)) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._hear(ALL_BUT_JOBS)
                    self._listening.set()
                    self._receive_on(connection)
            except (psycopg.Error, OSError) as failure:  # OSError: no more descriptors
                if not self._ending.is_set():
                    logger.warning("wake-ups interrupted", extra={"fields": {"problem": type(failure).__name__}})
                self._ending.wait(PAUSE_SECONDS)

    def _receive_on(self, connection: psycopg.Connection[Any]) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while not self._ending.is_set():
                for notification in connection.notifies(timeout=0):
                    self._hear(frozenset(notification.payload.split("\n")))
                selector.select()

    def _hear(self, topics: frozenset[str]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._tell, topics)

    def _tell(self, topics: frozenset[str]) -> None:
        for listener in tuple(self._listeners):
            listener(topics)
