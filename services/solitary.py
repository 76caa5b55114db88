"""Workers that run one job each, which may be the cause of its earlier workers' deaths."""

from __future__ import annotations

import asyncio
import logging
from asyncio.subprocess import Process
from collections.abc import Sequence
from typing import Self

from background import cancel_and_wait
from services import children

logger = logging.getLogger(__name__)

STUCK_SECONDS = 45.0
"""A worker that does not hold its job after this time counts as standing still."""


class SolitaryWorkers:
    """`async with SolitaryWorkers(...)`: drains its workers when it is closed, unless they may finish."""

    def __init__(self, *, drain_seconds: float, command: Sequence[str] = children.WORKER) -> None:
        self._drain_seconds = drain_seconds
        self._command = command
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by job
        self._children: dict[str, tuple[Process, float]] = {}  # and when each was started
        self._may_finish = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        running = [child for child, _ in self._children.values()]
        if self._may_finish:
            await asyncio.gather(*(child.wait() for child in running))
        else:
            await children.end(running, drain_seconds=self._drain_seconds)
        await cancel_and_wait(*self._tasks.values())

    def finish(self) -> None:
        """Let the jobs run to their ends: closing waits for them instead of draining."""
        self._may_finish = True

    def drain(self) -> None:
        """Tell the workers to leave their jobs at the next checkpoint. Closing waits for them."""
        for child, _ in self._children.values():
            if child.returncode is None:
                child.terminate()

    def start(self, job_id: str) -> None:
        """Start a worker for this job, which no worker runs, unless one is about to claim it."""
        if job_id not in self._tasks:
            self._tasks[job_id] = asyncio.create_task(self._run(job_id), name=f"worker for {job_id}")
        elif job_id in self._children:
            child, started_at = self._children[job_id]
            if asyncio.get_running_loop().time() - started_at > STUCK_SECONDS and child.returncode is None:
                child.kill()

    async def _run(self, job_id: str) -> None:
        try:
            child = await children.start(*self._command, "--alone", job_id)
            self._children[job_id] = child, asyncio.get_running_loop().time()
            logger.warning("job gets a worker of its own", extra={"fields": {"job": job_id, "child": child.pid}})
            await child.wait()
        except OSError as error:  # out of memory or processes: the next look tries again
            problem = {"job": job_id, "problem": error.strerror}
            logger.error("no worker of its own could be started", extra={"fields": problem})  # noqa: TRY400
        finally:
            self._children.pop(job_id, None)
            del self._tasks[job_id]
