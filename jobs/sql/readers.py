"""Threads that read, in lanes: what may take long never holds up what is short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from jobs.sql.connection import Lane, Transaction

T = TypeVar("T")

LANES: Mapping[Lane, int] = {"short": 2, "long": 2, "search": 1}
"""Threads of each lane, started when they are needed."""


class Readers:
    """Runs reads beside each other, by a function that each thread calls with a query of its own."""

    def __init__(self, name: str) -> None:
        self._lanes = {lane: ThreadPoolExecutor(size, f"{name}-{lane}-reader") for lane, size in LANES.items()}

    async def read(self, lane: Lane, run: Callable[[Transaction[T]], T], query: Transaction[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._lanes[lane], run, query)

    def close(self) -> None:
        """Finish what is being read."""
        for lane in self._lanes.values():
            lane.shutdown()
