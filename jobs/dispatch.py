"""How jobs find workers: the promise. `local.py` keeps it with the jobs table alone, on one machine."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence, Set
from typing import Protocol

from jobs.models import Job, WorkerRecord
from jobs.store import JobStore

logger = logging.getLogger(__name__)


class Dispatcher(Protocol):
    """One worker's side of the queue. `async with` announces the worker, keeps its heartbeat and takes it off."""

    worker_id: str

    async def take(self, running: Set[str]) -> Job | None:
        """Wait for the next eligible job and hold it; None once `stop_taking` was called. Not to be cancelled.

        `running` is a live view of the ids of the jobs that this worker runs.
        """

    def stop_taking(self) -> None:
        """Claim nothing more."""


class Liveness(Protocol):
    """Tells which workers are alive, as one observer sees them."""

    def alive(self, workers: Iterable[WorkerRecord]) -> list[str]:
        """The ids of those that live and were not declared stopped."""

    def stopped(self, workers: Sequence[WorkerRecord]) -> list[WorkerRecord]:
        """Those that seem to live, but whose counter has stood still for the TTL."""

    def process_id(self, worker: str) -> int | None:
        """The worker's process, if it runs on this machine."""


async def declare_stopped(store: JobStore, worker: WorkerRecord) -> None:
    """Say that the worker stands still. Of several observers, the first writes the line."""
    if await store.declare_stopped(worker.id, worker.beat):
        logger.warning("worker declared stopped", extra={"fields": {"worker": worker.id}})
