"""How a worker gets its jobs. `local.py` implements it on one machine with the jobs table alone."""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol

from jobs.models import Job


class Dispatcher(Protocol):
    """One worker's side of the queue. `async with` registers the worker, advances its heartbeat and removes it."""

    worker_id: str

    async def take(self, running: Set[str]) -> Job | None:
        """Wait for the next eligible job and claim it. Returns None once `stop_taking` was called. Do not cancel this.

        `running` is a live view of the ids of the jobs that this worker runs.
        """

    def stop_taking(self) -> None:
        """Claim nothing more."""
