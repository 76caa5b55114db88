"""How a worker gets its jobs. `local.py` implements it with the jobs table alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence, Set
from typing import Protocol

from jobs.models import Job, WorkerRecord
from jobs.store import JobStore

logger = logging.getLogger(__name__)


class Dispatcher(Protocol):
    """One worker's side of the queue. `async with` registers the worker, advances its heartbeat and removes it."""

    worker_id: str

    async def take(self, running: Set[str]) -> Job | None:
        """Wait for the next eligible job and claim it. Returns None once `stop_taking` was called. Do not cancel this.

        `running` is a live view of the ids of the jobs that this worker runs.
        """

    async def tell_warm(self) -> None:
        """Announce that this worker has finished loading. Raises `StoreUnavailable`."""

    def stop_taking(self) -> None:
        """Claim nothing more."""


class Liveness(Protocol):
    """One observer's view of which workers are alive."""

    def alive(self, workers: Iterable[WorkerRecord]) -> list[WorkerRecord]:
        """Returns the workers that live and were not declared stopped."""

    def stopped(self, workers: Sequence[WorkerRecord]) -> list[WorkerRecord]:
        """Returns the workers that seem to live, but whose signs of life have stood still for the TTL."""

    def process_id(self, worker: WorkerRecord) -> int | None:
        """Returns the worker's process id, if it runs on this machine."""


async def declare_stopped(store: JobStore, worker: WorkerRecord) -> None:
    """Record that the worker stands still. Of several observers, the first writes the line."""
    if await store.declare_stopped(worker.id, worker.beat):
        logger.warning("worker declared stopped", extra={"fields": {"worker": worker.id}})
