"""How jobs find workers: the promise. `local.py` keeps it with the jobs table alone, on one machine."""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol

from jobs.models import Job


class Dispatcher(Protocol):
    """One worker's side of the queue. `async with` announces the worker, keeps its heartbeat and takes it off."""

    worker_id: str

    async def take(self, running: Set[str]) -> Job | None:
        """Wait for the next eligible job and hold it; None once `stop_taking` was called. Not to be cancelled.

        `running` is a live view of the ids of the jobs that this worker runs.
        """

    def stop_taking(self) -> None:
        """Claim nothing more."""
