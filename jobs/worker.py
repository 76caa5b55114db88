"""The worker: takes jobs, runs their tasks and writes their ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from background import cancel_and_wait, keep_running, wait_event
from jobs import models
from jobs.context import JobContext, TaskFunction
from jobs.deltas import Ticks
from jobs.dispatch import Dispatcher
from jobs.errors import EpochStale, JobFailed, JobIncomplete, JobNotFound, LogBehind, StoreUnavailable, reason_for_log
from jobs.estimates import run_of_job
from jobs.events import (
    JobCancelled,
    JobCancelling,
    JobCompleted,
    JobEvent,
    JobFailedEvent,
    JobIncompleteEvent,
    Log,
    Terminal,
)
from jobs.journal import of_job
from jobs.models import InboxMessage, Job
from jobs.rules import DeathsAlone
from jobs.store import JobStore
from jobs.transcript import Transcript
from jobs.wake import Wake

logger = logging.getLogger(__name__)

CANCEL_POLL_SECONDS = 1.0
"""The longest delay that a lost wake-up adds to a cancel."""

DRAIN_LOOK_SECONDS = 0.05
STORE_PAUSE_SECONDS = 0.5
BROKEN_PAUSE_SECONDS = 5.0
RELEASE_SECONDS = 2.0
"""How long a drain waits for a database that may be out of reach."""

INTERNAL_FAILURE = JobFailedEvent(
    error={
        "code": "internal_error",
        "message": "Something went wrong inside the server. Retry goes on from the last finished step.",
    }
)
KILLS_WORKERS = JobFailedEvent(
    error={
        "code": "interrupted_too_often",
        "message": "This job was interrupted too often before it could finish a step. Retry starts it again.",
    }
)
MAX_REPLAYED = 2_000
"""Events of a log that a new attempt reads at a time."""


class _Held:
    """One attempt at a job, in the current asyncio task."""

    context: JobContext

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while task.cancelling():  # left over from an attempt that was cancelled and is over
            task.uncancel()
        self.task = task
        self.told = False
        self._received: set[int] = set()

    def leave(self) -> None:
        """Cancel the attempt once: a second cancel would interrupt the clean-up of the first."""
        if not self.told:
            self.told = True
            self.task.cancel()

    def receive(self, message: InboxMessage) -> None:
        """Obey a message of the inbox and write it into the log. A message may come again while it is being written."""
        if message.number in self._received:
            return
        self._received.add(message.number)
        match message.type:
            case JobCancelling.type if not self.context.cancelled:
                self.context.cancelled_at = time.monotonic()
                self.context.take(message, JobCancelling(by=message.data["by"]))
                self.leave()
            case models.TRY_NOW if not self.context.cancelled:
                asked = f"Trying again now, as {message.data['by']} asked."
                self.context.take(message, Log(step=None, level="info", message=asked))
                self.context.try_now()
            case _:  # of a later version: left for a worker that knows it
                pass


class _Log:
    """The state that a worker reads from a job's log before it resumes the job."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.readable = True
        self.deaths = DeathsAlone()

    def feed(self, batch: Sequence[JobEvent]) -> None:
        for event in batch:
            payload = event.payload
            self.transcript.feed(payload)
            self.deaths.feed(payload)


def _refusal(log: _Log) -> Terminal | None:
    """Returns the end of a job that must not be started again, or None if it may be."""
    if not log.readable:
        return INTERNAL_FAILURE
    return KILLS_WORKERS if log.deaths.too_many else None


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
        self._ticks = Ticks()
        self._held: dict[str, _Held] = {}
        self._running: set[str] = set()  # from the claim to the end, even between two attempts
        self._wishes = asyncio.Event()
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Run jobs until told to stop. Returns when the last one has ended or was left to other workers."""
        unsubscribe = self._wake.listen(self._on_wake)
        watcher = asyncio.create_task(keep_running(self._watch_wishes, name="inbox"))
        try:
            async with asyncio.TaskGroup() as jobs:
                while (job := await self._next()) is not None:
                    self._running.add(job.id)
                    jobs.create_task(self._run(job), name=job.id)
        finally:
            self._ended.set()
            unsubscribe()
            await cancel_and_wait(watcher)

    def finish(self) -> None:
        """Claim no more jobs; `run` returns when the running ones have ended."""
        self._dispatcher.stop_taking()

    async def drain(self, seconds: float) -> None:
        """Claim no more jobs, start no step, and leave each job at its next checkpoint or after `seconds`."""
        fields = {"worker": self._dispatcher.worker_id, "jobs": len(self._running), "seconds": seconds}
        logger.info("worker draining", extra={"fields": fields})
        self._dispatcher.stop_taking()
        self._draining.set()
        deadline = time.monotonic() + seconds
        while not self._ended.is_set():
            late = time.monotonic() >= deadline
            for held in tuple(self._held.values()):
                if late or held.context.at_checkpoint():
                    held.leave()
            await wait_event(self._ended, DRAIN_LOOK_SECONDS)

    async def _next(self) -> Job | None:
        await self._slots.acquire()
        return await self._dispatcher.take(self._running)

    async def _run(self, job: Job) -> None:
        """Run the job to its end. No failure of it may end the worker and its other jobs."""
        try:
            while not (job.ended or await self._attempt(job)):
                job = await self._renew(job)
        except (EpochStale, JobNotFound):
            logger.warning("job lost to another worker", extra=of_job(job, worker=self._dispatcher.worker_id))
        except Exception:
            # The next claim takes it up again; the pause keeps a lasting defect from filling the log.
            logger.exception("attempt broke off", extra=of_job(job))
            await asyncio.sleep(BROKEN_PAUSE_SECONDS)
        finally:
            self._running.discard(job.id)
            self._slots.release()

    async def _attempt(self, job: Job) -> bool:
        """Run the job until its end is written or it is left to another worker. Returns False when the store failed.

        Raises `EpochStale`, `JobNotFound`.
        """
        try:
            log = await self._log(job)
            held = _Held()
            with contextlib.closing(self._context(job, log, held)) as held.context:
                self._held[job.id] = held
                self._wishes.set()  # a wish may be older than the claim
                ending = _refusal(log) or await self._ending(held)
                if held.context.failure is not None:
                    raise held.context.failure
                if ending is not None:
                    await _in_any_case(self._write_end(held.context, ending))
            if ending is None:
                await self._leave(job)
        except (StoreUnavailable, LogBehind) as failure:
            problem = reason_for_log(failure)
            logger.error("store failed", extra=of_job(job, problem=problem))  # noqa: TRY400  # the cause is a field
            if self._draining.is_set():
                await self._leave(job)
            return self._draining.is_set()
        finally:
            if (over := self._held.pop(job.id, None)) is not None:
                over.told = True  # a caller that still has this attempt must not cancel the next one
        return True

    async def _leave(self, job: Job) -> None:
        """Another worker continues the job at once; this one lives until its other jobs are at a checkpoint."""
        if self._draining.is_set():
            with contextlib.suppress(StoreUnavailable, TimeoutError):  # then it continues when this worker has ended
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self._store.release(job.id, job.epoch)
            logger.info("job handed over", extra=of_job(job, worker=self._dispatcher.worker_id))
        else:
            logger.warning("job lost to another worker", extra=of_job(job, worker=self._dispatcher.worker_id))

    async def _log(self, job: Job) -> _Log:
        log, seq = _Log(), job.last_seq if job.is_new else 0
        try:
            while seq < job.last_seq and (batch := await self._store.read(job.id, seq, MAX_REPLAYED)):
                log.feed(batch)
                seq = batch[-1].seq
        except StoreUnavailable:
            raise
        except Exception:
            logger.exception("log not readable", extra=of_job(job))
            log.readable = False
        return log

    async def _renew(self, job: Job) -> Job:
        """Resume this worker's job under the next epoch, which refuses writes that are still on their way."""
        while True:
            await asyncio.sleep(STORE_PAUSE_SECONDS)
            with contextlib.suppress(StoreUnavailable):
                try:
                    return await self._store.renew(job.id, job.epoch)
                except EpochStale:
                    return await self._renewed_before(job)

    async def _renewed_before(self, job: Job) -> Job:
        """The renewal whose answer was lost. Raises `EpochStale` when another worker took the job over."""
        now = await self._store.get(job.id)
        if (now.worker, now.epoch) != (job.worker, job.epoch + 1):
            raise EpochStale(job.id)
        return now

    def _context(self, job: Job, log: _Log, held: _Held) -> JobContext:
        return JobContext(job, self._store, log.transcript, draining=self._draining, lost=held.leave, ticks=self._ticks)

    async def _ending(self, held: _Held) -> Terminal | None:
        """Runs the task. Returns the job's end, or None when the job is left to another worker or cannot be written."""
        context = held.context
        try:
            begun = time.monotonic()
            result = await self._tasks[context.job.request.task](context)
            if context.job.is_new:  # a resumed job has less to do
                self._store.add_run(run_of_job(context.job.request.task, round(time.monotonic() - begun, 3)))
            return JobCompleted(result=result, usage=context.usage)
        except JobIncomplete as incomplete:
            return JobIncompleteEvent(reason=incomplete.reason, result=incomplete.result)
        except asyncio.CancelledError:
            return JobCancelled(stopped=context.stopped) if context.cancelled else None
        except (EpochStale, JobNotFound, StoreUnavailable):
            raise
        except Exception as failure:
            if held.told:  # it was told to leave: a step that failed since then is stopped, or runs again elsewhere
                return JobCancelled(stopped=context.stopped) if context.cancelled else None
            if isinstance(failure, JobFailed):
                return JobFailedEvent(error=failure.as_json())
            if context.failure is None:
                logger.exception("task failed", extra=of_job(context.job))
            return INTERNAL_FAILURE
        finally:
            context.deltas.flush()

    async def _write_end(self, context: JobContext, ending: Terminal) -> None:
        try:
            await context.emit(ending)
        except (TypeError, ValueError):  # the result is not JSON
            logger.exception("result not storable", extra=of_job(context.job))
            await context.emit(INTERNAL_FAILURE)

    def _on_wake(self, topics: frozenset[str]) -> None:
        if "cancel" in topics:
            self._wishes.set()

    async def _watch_wishes(self) -> None:
        """Obey cancels, and leave jobs that another worker has taken over."""
        await wait_event(self._wishes, CANCEL_POLL_SECONDS)
        self._wishes.clear()
        if self._held:
            await self._obey()

    async def _obey(self) -> None:
        before = tuple(self._held.items())  # a job claimed during the read may be missing from it
        mine = {job.id: job for job in await self._store.held(self._dispatcher.worker_id)}
        for job_id, held in before:
            job = mine.get(job_id)
            if job is None or job.epoch != held.context.job.epoch:
                if not await self._ended_here(job_id):
                    held.leave()
            else:
                for message in job.inbox:
                    held.receive(message)

    async def _ended_here(self, job_id: str) -> bool:
        """Whether the job is no longer held because this worker has just ended it."""
        try:
            job = await self._store.get(job_id)
            return job.ended and job.worker == self._dispatcher.worker_id
        except JobNotFound:
            return False


async def _in_any_case(write: Coroutine[Any, Any, None]) -> None:
    """Finish the write even while this task is being cancelled."""
    writing = asyncio.create_task(write)
    while not writing.done():
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            continue
    writing.result()
