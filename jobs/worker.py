"""The worker: takes jobs, runs their tasks, writes how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from jobs.background import again_and_again
from jobs.context import JobContext, TaskFunction
from jobs.deltas import Frames
from jobs.dispatch import Dispatcher
from jobs.errors import EpochStale, JobFailed, JobIncomplete, JobNotFound, StoreUnavailable
from jobs.events import JobCancelled, JobCancelling, JobCompleted, JobEvent, JobFailedEvent, JobIncompleteEvent, Payload
from jobs.models import Job
from jobs.store import JobStore
from jobs.wake import Wake

logger = logging.getLogger(__name__)

CANCEL_POLL_SECONDS = 1.0
"""A lost wake-up delays a cancel by at most this."""

DRAIN_LOOK_SECONDS = 0.05
STORE_PAUSE_SECONDS = 0.5
MOST_ATTEMPTS_IN_VAIN = 8
"""A job that was begun so often without finishing a step is taken for the cause of its workers' deaths."""

INTERNAL_ERROR = JobFailed(
    "internal_error", "Something went wrong inside the server. Retry goes on from the last finished step."
)
KILLS_WORKERS = JobFailed(
    "interrupted_too_often",
    "This job was interrupted again and again before it could finish a step. Retry tries again.",
)


class _Held:
    """A job that runs here."""

    context: JobContext

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.told = False

    def leave(self) -> None:
        """Cancel once: a second cancel would break into the clean-up of the first."""
        if not self.told:
            self.told = True
            self.task.cancel()


class Worker:
    """Runs up to `slots` jobs at a time on the current event loop, until `drain` or `finish` is called."""

    def __init__(
        self, store: JobStore, dispatcher: Dispatcher, wake: Wake, tasks: Mapping[str, TaskFunction], *, slots: int
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._wake = wake
        self._tasks = tasks
        self._slots = asyncio.Semaphore(slots)
        self._frames = Frames()
        self._held: dict[str, _Held] = {}
        self._wishes = asyncio.Event()
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Work until told to stop, then return when the last job has ended or was left to others."""
        deafen = self._wake.listen(self._on_wake)
        watcher = asyncio.create_task(again_and_again(self._watch_wishes, name="the look for cancels"))
        try:
            async with asyncio.TaskGroup() as jobs:
                while (job := await self._next()) is not None:
                    jobs.create_task(self._run(job), name=job.id)
        finally:
            self._ended.set()
            deafen()
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    def finish(self) -> None:
        """Claim nothing more; `run` returns when the jobs that run here have ended."""
        self._dispatcher.stop_taking()

    async def drain(self, seconds: float) -> None:
        """Claim nothing more, begin no step, and leave each job at its checkpoint, after `seconds` at the latest."""
        self._dispatcher.stop_taking()
        self._draining.set()
        deadline = time.monotonic() + seconds
        while not self._ended.is_set():
            late = time.monotonic() >= deadline
            for held in tuple(self._held.values()):
                if late or held.context.at_checkpoint():
                    held.leave()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    DRAIN_LOOK_SECONDS
                ):  # not wait_for: until Python 3.12 it may swallow a cancel
                    await self._ended.wait()

    async def _next(self) -> Job | None:
        await self._slots.acquire()
        return await self._dispatcher.take()

    async def _run(self, job: Job) -> None:
        """The job to its end. Nothing of it may end the worker, and the jobs beside it."""
        try:
            ending = await self._ending(job)
            if ending is not None:
                await _in_any_case(self._write_end(job, ending))
        except (EpochStale, JobNotFound):
            logger.warning("%s is not ours any more: stopped", job.id)
        finally:
            self._held.pop(job.id, None)
            self._slots.release()

    async def _ending(self, job: Job) -> Payload | None:
        """How the job ended; None when it is left to whoever takes it over."""
        while True:
            try:
                return await self._attempt(job)
            except (EpochStale, JobNotFound):
                raise
            except StoreUnavailable as unavailable:
                # We hold the job: go on from its checkpoints as soon as they can be read.
                logger.error("%s: the store failed: %s", job.id, unavailable.__cause__)  # noqa: TRY400  # said whole
                if self._draining.is_set():
                    return None
                await asyncio.sleep(STORE_PAUSE_SECONDS)
            except Exception:
                logger.exception("%s (task %s) failed", job.id, job.request.task)
                return JobFailedEvent(error=INTERNAL_ERROR.as_json())

    async def _attempt(self, job: Job) -> Payload | None:
        task = asyncio.current_task()
        assert task is not None
        milestones = await self._store.milestones(job.id)
        if _attempts_in_vain(milestones) > MOST_ATTEMPTS_IN_VAIN:
            return JobFailedEvent(error=KILLS_WORKERS.as_json())
        held = _Held(task)
        held.context = JobContext(
            job, self._store, milestones, draining=self._draining, lost=held.leave, frames=self._frames
        )
        self._held[job.id] = held
        self._wishes.set()  # the wish may be older than the claim
        return await self._outcome(held)

    async def _outcome(self, held: _Held) -> Payload | None:
        context = held.context
        try:
            result = await self._tasks[context.job.request.task](context)
            return JobCompleted(result=result, usage=context.usage)
        except JobFailed as failure:
            if held.told and not context.cancelled:  # told to leave: what broke meanwhile runs again elsewhere
                return None
            return JobFailedEvent(error=failure.as_json())
        except JobIncomplete as incomplete:
            return JobIncompleteEvent(reason=incomplete.reason, result=incomplete.result)
        except asyncio.CancelledError:
            if context.deltas.failure is not None:
                raise context.deltas.failure from None
            return JobCancelled(stopped=context.stopped) if context.cancelled else None
        finally:
            context.deltas.flush()

    async def _write_end(self, job: Job, ending: Payload) -> None:
        """A job that has ended must say so, however long the store is out of reach."""
        while True:
            try:
                await self._store.append(job.id, job.epoch, [ending])
            except StoreUnavailable:
                await asyncio.sleep(STORE_PAUSE_SECONDS)
            except (TypeError, ValueError):  # a result that is no JSON
                logger.exception("%s (task %s) gave what cannot be stored", job.id, job.request.task)
                ending = JobFailedEvent(error=INTERNAL_ERROR.as_json())
            else:
                return

    def _on_wake(self, topics: frozenset[str]) -> None:
        if "cancel" in topics:
            self._wishes.set()

    async def _watch_wishes(self) -> None:
        """Obey cancels, and let go of what another worker has taken over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_POLL_SECONDS):  # not wait_for: until Python 3.12 it may swallow a cancel
                await self._wishes.wait()
        self._wishes.clear()
        if self._held:
            await self._obey()

    async def _obey(self) -> None:
        before = tuple(self._held.items())  # a job that is claimed while the store is read may be missing there
        mine = {job.id: job for job in await self._store.held(self._dispatcher.worker_id)}
        for job_id, held in before:
            job = mine.get(job_id)
            if job is None or job.epoch != held.context.job.epoch:
                if not await self._ended_here(job_id):
                    held.leave()
            elif job.cancelled_by is not None and not held.context.cancelled:
                held.context.cancelled_at = time.monotonic()
                written = asyncio.ensure_future(held.context.emit(JobCancelling(by=job.cancelled_by)))
                written.add_done_callback(lambda done: done.cancelled() or done.exception())
                held.leave()

    async def _ended_here(self, job_id: str) -> bool:
        """Whether the job is missing among ours because it has just ended in our own hands."""
        try:
            job = await self._store.get(job_id)
            return job.finished and job.worker == self._dispatcher.worker_id
        except JobNotFound:
            return False


def _attempts_in_vain(milestones: Sequence[JobEvent]) -> int:
    """How often the job was begun, the running attempt included, since a step of it last finished."""
    in_vain = 0
    for event in milestones:
        if event.type == "job.started":
            in_vain += 1
        elif event.type == "step.finished":
            in_vain = 0
    return in_vain


async def _in_any_case(write: Coroutine[Any, Any, None]) -> None:
    """Finish writing even while the process is being cancelled."""
    writing = asyncio.create_task(write)
    while not writing.done():
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            continue
    writing.result()
