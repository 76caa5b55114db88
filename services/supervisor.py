"""Starts worker processes, replaces those that end, and adds one beside a stopped worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, Self

import starting
from background import cancel_and_wait, keep_running
from jobs import WorkerRecord
from jobs.dispatch import Liveness, declare_stopped
from jobs.store import JobStore
from services import children
from settings import refuse

logger = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 15.0
KILLED_BACKOFF_SECONDS = 1.0
"""The longest restart delay after a signal. A worker that cannot start ends by itself, and all jobs wait."""
STEADY_SECONDS = 20.0
"""A worker that lived this long was healthy: the restart delay is reset."""
OBSERVE_SECONDS = 1.0
LOCKED_SECONDS = 3.0
"""Our writes take less, unless another process holds the database's lock."""
REPLACED_SECONDS = 30.0
"""A worker that was replaced because it stood still is killed when it has not ended by then."""


REFUSED = 2
"""The exit code of a worker that cannot start with these settings, agents and tools. It has said why."""


class Ended(NamedTuple):
    """The end of a worker."""

    how: str
    """For the log."""
    code: int | None = None
    """Its exit code: negative after a signal, None if it did not start."""

    @property
    def by_signal(self) -> bool:
        return self.code is not None and self.code < 0


class Supervisor:
    """`async with Supervisor(...)`: keeps `processes` workers running until it is closed, then drains them."""

    def __init__(
        self,
        store: JobStore,
        liveness: Liveness,
        *,
        processes: int,
        drain_seconds: float,
        command: Sequence[str] = children.WORKER,
    ) -> None:
        self._store = store
        self._liveness = liveness
        self._processes = processes
        self._drain_seconds = drain_seconds
        self._command = command
        self._children: set[asyncio.subprocess.Process] = set()
        self._retired: set[asyncio.subprocess.Process] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self.restarts = 0
        """How many workers were started again after they had ended."""

    async def __aenter__(self) -> Self:
        for _ in range(self._processes):
            self._own(self._keep_running())
        if self._processes:
            self._own(keep_running(self._observe, name="worker heartbeats"))
        return self

    async def __aexit__(self, *_: object) -> None:
        """SIGTERM drains the workers. Late ones are killed; their jobs continue at the next start."""
        self._closing = True
        await children.end(self._children, drain_seconds=self._drain_seconds)
        await cancel_and_wait(*self._tasks)

    def _own(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = FIRST_BACKOFF_SECONDS
        while not self._closing:
            begun = loop.time()
            ended = await self._run_one()
            if ended is None or self._closing:
                return
            if ended.code == REFUSED and not self.restarts:
                refuse("No worker can start. Its message above says why.")
            if loop.time() - begun > STEADY_SECONDS:
                backoff = FIRST_BACKOFF_SECONDS
            pause = min(backoff, KILLED_BACKOFF_SECONDS) if ended.by_signal else backoff
            fields = {"how": ended.how, "restart_seconds": round(pause, 1)}
            logger.warning("worker process ended; starting another", extra={"fields": fields})
            await asyncio.sleep(pause)
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)
            self.restarts += 1

    async def _run_one(self) -> Ended | None:
        """Returns how the worker ended; None if another one has taken its place."""
        try:
            child = await self._start()
        except OSError as error:  # out of memory or processes: treated as an immediate end
            return Ended(f"could not be started ({error.strerror})")
        code = await child.wait()
        self._children.discard(child)
        if child in self._retired:
            self._retired.discard(child)
            return None
        return Ended(f"ended with exit code {code}", code)

    async def _start(self) -> asyncio.subprocess.Process:
        child = await children.start(*self._command)
        self._children.add(child)
        starting.limit_open_files(child.pid)  # for its tool hosts; it raises its own
        logger.info("worker process started", extra={"fields": {"child": child.pid}})
        return child

    async def _observe(self) -> None:
        """Declares a worker without a heartbeat stopped; a new one takes over its jobs."""
        await asyncio.sleep(OBSERVE_SECONDS)
        workers = await self._store.workers()
        for worker in self._liveness.stopped(workers):
            await self._declare(worker)
        for worker in workers:
            if worker.stopped:  # declared in our previous check, or by another worker
                self._replace(self._liveness.process_id(worker))

    async def _declare(self, worker: WorkerRecord) -> None:
        declaring = asyncio.ensure_future(declare_stopped(self._store, worker))
        try:
            async with asyncio.timeout(LOCKED_SECONDS):
                await asyncio.shield(declaring)
        except TimeoutError:
            # It stopped during a write, and no other process can write until it is gone.
            self._kill(self._liveness.process_id(worker))
            await declaring

    def _kill(self, process_id: int | None) -> None:
        for child in self._children:
            if child.pid == process_id and child.returncode is None:
                logger.warning(
                    "worker process holds up every write; killing it", extra={"fields": {"child": child.pid}}
                )
                child.kill()

    def _replace(self, process_id: int | None) -> None:
        """Closes the stopped child's stdin: if it continues, it finishes its remaining jobs and ends."""
        for child in self._children - self._retired:
            if child.pid == process_id and child.stdin is not None:
                logger.warning("worker process stands still; starting another", extra={"fields": {"child": child.pid}})
                self._retired.add(child)
                child.stdin.close()
                self._own(self._keep_running())
                self._own(self._end_replaced(child))

    async def _end_replaced(self, child: asyncio.subprocess.Process) -> None:
        """Other workers continue its jobs. A worker that never responds, or spins, only uses memory and a processor."""
        try:
            async with asyncio.timeout(REPLACED_SECONDS):
                await child.wait()
        except TimeoutError:
            logger.warning("replaced worker process has not ended; killing it", extra={"fields": {"child": child.pid}})
            child.kill()
