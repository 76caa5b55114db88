"""What breaks during a soak: each fault is a coroutine that strikes and, where it lasts, ends again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests import processes
from tests.server import Server

TTL_SECONDS = 3
YEAR_SECONDS = 365 * 86_400

Fault = Callable[[], Awaitable[None]]


class Faults:
    """Of one server on SQLite. `cut` ends all streams that clients read."""

    def __init__(
        self,
        server: Server,
        chance: random.Random,
        *,
        clock: Path,
        cut: Callable[[], None],
        flood: Fault,
        small_disk: bool,
    ) -> None:
        """clock: the file by which the server's clock is moved; small_disk: the data dir is one that can be filled."""
        self._server = server
        self._chance = chance
        self._clock = clock
        self._cut = cut
        self._small_disk = small_disk
        self._flood = flood

    def by_name(self) -> dict[str, Fault]:
        disk = {"fill the disk": self._fill_disk} if self._small_disk else {}
        return {
            "kill a worker": self._kill_worker,
            "stop a worker": self._stop_worker,
            "kill a tool host": self._kill_host,
            "kill the web process": self._kill_web,
            "stop the web process": self._stop_web,
            "kill everything": self._kill_everything,
            "lock the database": self._lock,
            "cut every stream": self._cut_streams,
            "flood from the endpoint": self._flood,
            "jump of the clock": self._jump,
            **disk,
        }

    async def _kill_worker(self) -> None:
        if workers := self._server.workers():
            processes.send(self._chance.choice(workers), signal.SIGKILL)

    async def _stop_worker(self) -> None:
        """Sometimes for longer than the TTL: then its jobs are taken over, and it comes back as a zombie."""
        if workers := self._server.workers():
            stopped = self._chance.choice(workers)
            processes.send(stopped, signal.SIGSTOP)
            await asyncio.sleep(self._chance.choice([0.5, 2 * TTL_SECONDS]))
            processes.send(stopped, signal.SIGCONT)

    async def _kill_host(self) -> None:
        if hosts := self._server.hosts():
            processes.send(self._chance.choice(hosts), signal.SIGKILL)

    async def _kill_web(self) -> None:
        await asyncio.to_thread(self._server.kill_web)
        await self._server.start()

    async def _stop_web(self) -> None:
        self._server.signal_web(signal.SIGSTOP)
        await asyncio.sleep(self._chance.uniform(0.5, 3))
        self._server.signal_web(signal.SIGCONT)

    async def _kill_everything(self) -> None:
        await asyncio.to_thread(self._server.kill_everything)
        await self._server.start()

    async def _lock(self) -> None:
        """As another program does that keeps a transaction open."""
        with contextlib.closing(sqlite3.connect(self._server.data_dir / "jobs.db", isolation_level=None)) as other:
            with contextlib.suppress(sqlite3.OperationalError):  # the disk is full
                other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(self._chance.choice([1, 2 * TTL_SECONDS, 14]))

    async def _cut_streams(self) -> None:
        self._cut()

    async def _jump(self) -> None:
        self._clock.write_text(str(self._chance.choice([-YEAR_SECONDS, -3600, 0, 3600, YEAR_SECONDS])))

    async def _fill_disk(self) -> None:
        ballast = self._server.data_dir / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * (1 << 18))
        try:
            await asyncio.sleep(self._chance.uniform(1, 8))
        finally:
            ballast.unlink()
