"""Dispatch: the jobs table is the queue; heartbeat counters show which workers are alive. For workers of this
machine, locked files show it too, also while the database cannot be written."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Self

from background import cancel_and_wait, keep_running, wait_event
from jobs.dispatch import declare_stopped
from jobs.errors import StoreUnavailable, reason_for_log
from jobs.isolation import Isolation
from jobs.models import JSON, Job, WorkerRecord
from jobs.rules import ALONE, Eligibility
from jobs.store import JobStore
from jobs.wake import Wake

logger = logging.getLogger(__name__)

SAFETY_POLL_SECONDS = 1.0
"""The longest delay that a lost wake-up causes."""
OBSERVE_SECONDS = 1.0
"""How often each process looks at the others' heartbeats."""
MAX_LOOK_SECONDS = 2.5
"""A counter is seen to stand still for at most this from one look to the next: after an outage of the database, during
which no counter could be advanced, no worker looks dead."""
FORGET_SECONDS = 3600.0
"""The record of another machine's stopped worker is removed after this time."""


Sign = tuple[int, int]
"""A worker's heartbeat counter, and when its file was touched. A change of either is a sign of life."""


@cache
def this_machine() -> str:
    """Returns a name of the running system: processes with the same name see each other's file locks."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip() if boot.exists() else ''}"


class WorkerLock:
    """A lock on `<directory>/<worker>.lock`, kept as long as the process lives. The file contains the process id; each
    touch of it is a heartbeat."""

    def __init__(self, directory: Path, worker: str) -> None:
        self._path = directory / f"{worker}.lock"

    def __enter__(self) -> Self:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def touch(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: the counter shows life, too
            os.utime(self._descriptor)


def touched_at(directory: Path, worker: str) -> int:
    """Returns when the worker's file was touched, as the clock said: only a change of it has a meaning. 0: no file."""
    try:
        return (directory / f"{worker}.lock").stat().st_mtime_ns
    except OSError:
        return 0


def is_free(directory: Path, worker: str) -> bool:
    """Whether the worker's lock is free, so that its process is dead."""
    try:
        descriptor = os.open(directory / f"{worker}.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that observers do not block each other
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


class LocalLiveness:
    """Determines which workers are alive. The observer measures with its own clock how long signs of life stand still.

    A worker's sign is its counter; on this machine, also its file, which is touched even while another program holds
    the database's lock. The lock of a worker on this machine shows its death at once; of one elsewhere, only the
    counter does.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ttl_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        machine: str | None = None,
    ) -> None:
        """`directory` holds the locks of the workers on this machine, or on all that share a data dir."""
        self._directory = directory
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._machine = machine or this_machine()
        self._looked_at = clock()
        self._silences: dict[str, tuple[Sign, float]] = {}  # for how many seconds the sign has stood still

    def alive(self, workers: Iterable[WorkerRecord]) -> list[WorkerRecord]:
        """Returns the workers that were not declared stopped, without those of this machine that are dead."""
        return [one for one in workers if not one.stopped and not self._is_dead(one)]

    def stopped(self, workers: Sequence[WorkerRecord]) -> list[WorkerRecord]:
        """Returns the workers that seem to live, but whose signs of life have stood still for the TTL."""
        self._look(workers)
        return [
            one
            for one in workers
            if not one.stopped and self._silence(one) >= self._ttl_seconds and not self._is_dead(one)
        ]

    def process_id(self, worker: WorkerRecord) -> int | None:
        """Returns the id of the process that holds the worker's lock, as its file says, if it runs on this machine."""
        if not self._is_here(worker):
            return None
        try:
            return int((self._directory / f"{worker.id}.lock").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _look(self, workers: Iterable[WorkerRecord]) -> None:
        now = self._clock()
        passed, self._looked_at = min(now - self._looked_at, MAX_LOOK_SECONDS, self._ttl_seconds / 2), now
        known, signs = self._silences, {one.id: self._sign(one) for one in workers}
        self._silences = {
            worker: (sign, known[worker][1] + passed if worker in known and known[worker][0] == sign else 0.0)
            for worker, sign in signs.items()
        }

    def _sign(self, worker: WorkerRecord) -> Sign:
        return worker.beat, touched_at(self._directory, worker.id) if self._is_here(worker) else 0

    def _silence(self, worker: WorkerRecord) -> float:
        _, seconds = self._silences.get(worker.id, (None, 0.0))  # unknown: another look found it removed
        return seconds

    def _is_here(self, worker: WorkerRecord) -> bool:
        return worker.machine in ("", self._machine)

    def _is_dead(self, worker: WorkerRecord) -> bool:
        return self._is_here(worker) and is_free(self._directory, worker.id)

    async def bury(self, store: JobStore, workers: Iterable[WorkerRecord]) -> None:
        """Remove the records of dead workers that hold no job any more."""
        for one in workers:
            gone = one.stopped and not self._is_here(one) and self._silence(one) >= FORGET_SECONDS
            if (gone or self._is_dead(one)) and not await store.held(one.id):
                await store.remove_worker(one.id)
                with contextlib.suppress(FileNotFoundError):  # otherwise another process has logged it
                    (self._directory / f"{one.id}.lock").unlink()
                    logger.warning("dead worker removed", extra={"fields": {"worker": one.id}})


class LocalDispatcher:
    """The worker's side of the queue."""

    def __init__(
        self,
        store: JobStore,
        wake: Wake,
        directory: Path,
        *,
        tasks: Sequence[str],
        catalogue: Sequence[Mapping[str, JSON]] = (),
        user_slots: int,
        ttl_seconds: float,
        liveness: LocalLiveness | None = None,
        isolate: Callable[[str], None] | None = None,
        only: str | None = None,
    ) -> None:
        """isolate: starts a separate worker for a job that may have caused deaths; None: no separate workers.

        only: the job in progress that this worker takes over, and nothing else.
        """
        self.worker_id = f"{ALONE if only else 'worker_'}{secrets.token_hex(6)}"
        self._store = store
        self._wake = wake
        self._directory = directory
        self._record = WorkerRecord(
            id=self.worker_id,
            beat=0,
            stopped=False,
            tasks=tuple(tasks),
            catalogue=tuple(catalogue),
            machine=this_machine(),
            warm=False,
        )
        self._user_slots = user_slots
        self._only = only
        self._isolation = Isolation(store, isolate) if isolate is not None else None
        self._beat_seconds = min(2.0, ttl_seconds / 4)
        self._liveness = liveness or LocalLiveness(directory, ttl_seconds=ttl_seconds)
        self._observed_at = time.monotonic()
        self._changed = asyncio.Event()
        self._closed = False
        self._taken: Job | None = None
        self._store_failed = False
        self._ending = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    async def __aenter__(self) -> Self:
        self._lock = WorkerLock(self._directory, self.worker_id).__enter__()
        await self._store.register_worker(self._record)
        self._unsubscribe = self._wake.listen(self._on_wake)
        self._heart.start()
        self._observing = asyncio.create_task(keep_running(self._observe, name="worker heartbeats"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        await cancel_and_wait(self._observing)
        await asyncio.to_thread(self._heart.join)
        self._unsubscribe()
        with contextlib.suppress(StoreUnavailable):  # another process removes it later
            await self._store.remove_worker(self.worker_id)
        self._lock.__exit__(None, None, None)

    async def take(self, running: Set[str]) -> Job | None:
        await keep_running(partial(self._look, running), name="job claims")
        taken, self._taken = self._taken, None
        return taken

    async def tell_warm(self) -> None:
        self._record = replace(self._record, warm=True)
        await self._store.register_worker(self._record)

    def stop_taking(self) -> None:
        self._closed = True
        self._changed.set()

    async def _look(self, running: Set[str]) -> bool:
        """Returns True when there is a job, or when no job may be taken any more."""
        self._changed.clear()
        if self._closed:
            return True
        try:
            self._taken = await self._claim(running)
        except StoreUnavailable as failure:
            await self._wait_for_store(failure)
            return False
        self._store_failed = False
        if self._only is not None:
            self._closed = True
            return True
        if self._taken is None:
            await wait_event(self._changed, SAFETY_POLL_SECONDS)
        return self._taken is not None

    async def _wait_for_store(self, failure: StoreUnavailable) -> None:
        """The disk is full, say. One line is enough for all that fails until it works again."""
        if not self._store_failed:
            fields = {"worker": self.worker_id, "problem": reason_for_log(failure)}
            logger.warning("no job can be claimed; trying again", extra={"fields": fields})
        self._store_failed = True
        await asyncio.sleep(SAFETY_POLL_SECONDS)

    async def _claim(self, running: Set[str]) -> Job | None:
        alive = [one.id for one in self._liveness.alive(await self._workers())]
        eligibility = Eligibility(
            tasks=self._record.tasks,
            alive=alive,
            user_slots=self._user_slots,
            running=tuple(running),
            suspects=None if self._isolation is None else await self._isolation.among_others(alive),
            only=self._only,
        )
        return await self._store.claim(self.worker_id, eligibility)

    async def _observe(self) -> None:
        """Look at the other workers while no slot is free. A worker with a free slot looks with each claim."""
        await asyncio.sleep(OBSERVE_SECONDS)
        if time.monotonic() - self._observed_at >= OBSERVE_SECONDS:
            await self._workers()

    async def _workers(self) -> list[WorkerRecord]:
        """Read all workers, and notice those that died or stand still."""
        workers = await self._store.workers()
        self._observed_at = time.monotonic()
        if all(one.id != self.worker_id for one in workers):  # another machine took it for dead, an hour long
            await self._store.register_worker(self._record)
            logger.warning("worker registered again", extra={"fields": {"worker": self.worker_id}})
            workers.append(self._record)
        others = [one for one in workers if one.id != self.worker_id]
        for one in self._liveness.stopped(others):
            await declare_stopped(self._store, one)
        await self._liveness.bury(self._store, others)
        return workers

    def _on_wake(self, topics: frozenset[str]) -> None:
        if "queue" in topics:
            self._changed.set()

    def _beat(self) -> None:
        """On a thread: a busy event loop must not look like a dead process."""
        while not self._ending.wait(self._beat_seconds):
            self._lock.touch()
            self._store.beat(self.worker_id)
