"""Removes deleted threads once their jobs have ended, and what is older than it may become."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Self

import audit
from background import cancel_and_wait, keep_running, wait_event
from files import FileStore
from jobs import Job, JobConflict, JobFilter, JobNotFound, Thread, ThreadNotFound
from jobs.models import Removal
from jobs.store import JobStore
from jobs.wake import Wake
from services.uploads import Uploads

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""The end of a thread's last job wakes the housekeeping; this limits the delay when the wake-up is lost."""
DAY_SECONDS = 86_400.0
EXPIRED_AT_A_TIME = 20
MAX_DRIFT_SECONDS = 3600.0
"""Of the clock against the time that has passed."""
MAX_GAP_SECONDS = 2 * DAY_SECONDS

Forget = Callable[[str], Awaitable[None]]


class Calendar:
    """The time by which age is counted, when it can be trusted.

    A clock that jumps by a year would make everything old: after a jump nothing is deleted for its age for a day.
    """

    def __init__(self, clock: Callable[[], float] = time.time, passed: Callable[[], float] | None = None) -> None:
        """`passed` counts seconds, also those in which the machine sleeps."""
        self._clock = clock
        self._passed = passed or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self._offset = self._clock() - self._passed()
        self._jumped_at: float | None = None

    def check(self, newest: float) -> None:
        """Distrust a clock that is far ahead of the newest thing that is stored, as at a start with a wrong one."""
        if self._clock() - newest > MAX_GAP_SECONDS:
            self._jumped_at = self._passed()

    def now(self) -> float | None:
        """Returns Unix seconds; None for a day after a jump."""
        now, passed = self._clock(), self._passed()
        if abs(now - passed - self._offset) > MAX_DRIFT_SECONDS:
            self._offset, self._jumped_at = now - passed, passed
            logger.warning("clock jumped; nothing is deleted for its age for a day")
        if self._jumped_at is not None and passed - self._jumped_at < DAY_SECONDS:
            return None
        return now


class Housekeeping:
    """`async with Housekeeping(...)`: runs in the background until it is closed."""

    def __init__(
        self,
        store: JobStore,
        files: FileStore,
        wake: Wake,
        uploads: Uploads,
        *,
        retention_days: float | None = None,
        calendar: Calendar | None = None,
    ) -> None:
        """retention_days: threads and jobs that ended longer ago are deleted; None: kept."""
        self._store = store
        self._files = files
        self._wake = wake
        self._uploads = uploads
        self._retention_days = retention_days
        self._calendar = calendar or Calendar()
        self._woken = asyncio.Event()
        self._forget: list[Forget] = []
        self._looked_at = -EVERY_SECONDS

    async def __aenter__(self) -> Self:
        self._unsubscribe = self._wake.listen(lambda topics: self._woken.set() if "queue" in topics else None)
        self._task = asyncio.create_task(self._keep_house())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unsubscribe()
        await cancel_and_wait(self._task)

    def also_forget(self, forget: Forget) -> None:
        """Call this with the id of each thread that is cleared away, before it is gone."""
        self._forget.append(forget)

    async def remove_job(self, job_id: str, user: str) -> None:
        """Delete a job, its artifacts, and those of its files that no other job uses.

        Artifacts go with the last job of a chain of retries. Raises `JobNotFound`, and `JobConflict` while it runs.
        """
        job = await self._store.get(job_id, user)
        removal = await self._store.delete_job(job_id, user)
        audit.record("job deleted", job=job_id, owner=user)
        await self._delete_files(await self._store.unused_files(user, job.request.files))
        await self._remove(removal)

    async def _remove(self, removal: Removal) -> None:
        """Several processes may do so at once."""
        if removal.root_id is not None:
            await self._files.delete_artifacts(removal.root_id)
            await self._files.delete_storage(removal.owner, "job", removal.root_id)
        await self._store.finish_removal(removal)

    async def _keep_house(self) -> None:
        await keep_running(self._once(self._store.settle), name="search index")
        await keep_running(self._once(self._uploads.list_earlier), name="list of uploads")
        await keep_running(self._once(self._check_clock), name="clock")
        await keep_running(self._clear_once, name="housekeeping")

    def _once(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[bool]]:
        """Work at the start, which finishes what a killed process may have left undone."""

        async def run() -> bool:
            await work()
            return True

        return run

    async def _check_clock(self) -> None:
        """A server that was off for long deletes a day later; one whose clock is wrong has that day to be corrected."""
        for newest in await self._store.jobs(JobFilter(user=None, limit=1)):
            self._calendar.check(newest.created_at)

    async def _clear_once(self) -> None:
        self._woken.clear()
        if time.monotonic() - self._looked_at >= EVERY_SECONDS:  # ends of jobs wake it more often than age matters
            self._looked_at = time.monotonic()
            await self.clear_old()
        await self.clear_deleted()
        await wait_event(self._woken, EVERY_SECONDS)

    async def clear_deleted(self) -> None:
        """Clear away the deleted threads whose jobs have ended."""
        for thread in await self._store.deleted_threads():
            await self._purge(thread)

    async def finish_removals(self) -> None:
        """Go on with the deletion of jobs that a killed process has begun."""
        for removal in await self._store.removals():
            await self._remove(removal)

    async def clear_old(self) -> None:
        """Hide threads that have reached their age, as if their owners deleted them, and delete other old things.

        Several processes may do so at once.
        """
        await self.finish_removals()
        if (now := self._calendar.now()) is not None:
            await self._expire(now)
            await self._uploads.clear_unused(now)

    async def _expire(self, now: float) -> None:
        if self._retention_days is None:
            return
        before = now - self._retention_days * DAY_SECONDS
        while threads := await self._store.expired_threads(before, EXPIRED_AT_A_TIME):
            for thread in threads:
                await self._expire_thread(thread, before)
        while jobs := await self._store.expired_jobs(before, EXPIRED_AT_A_TIME):
            for job in jobs:
                await self._expire_job(job)

    async def _expire_thread(self, thread: Thread, before: float) -> None:
        try:
            await self._store.delete_thread(thread.id, thread.owner, idle_since=before)
        except ThreadNotFound:  # another process was first, or its owner has just used it
            return
        audit.record("thread deleted", thread=thread.id, owner=thread.owner)
        logger.info("thread expired", extra={"fields": {"thread": thread.id}})

    async def _expire_job(self, job: Job) -> None:
        try:
            await self.remove_job(job.id, job.request.user)
        except (JobNotFound, JobConflict):  # somebody else was first
            return
        logger.info("job expired", extra={"fields": {"job": job.id}})

    async def _purge(self, thread: Thread) -> None:
        """Files first: after a crash in between, the jobs are still there and the next round continues."""
        jobs = await self._store.thread_jobs(thread.id)
        files = [file_id for job in jobs for file_id in job.request.files]
        await self._delete_files(await self._store.unused_files(thread.owner, files, without_thread=thread.id))
        for job in jobs:
            await self._files.delete_artifacts(job.root_id)
        await self._files.delete_storage(thread.owner, "thread", thread.id)
        for forget in self._forget:
            await forget(thread.id)
        await self._store.purge_thread(thread.id)
        logger.info("deleted thread cleared", extra={"fields": {"thread": thread.id, "turns": len(jobs)}})

    async def _delete_files(self, files: list[str]) -> None:
        for file_id in files:
            await self._files.delete(file_id)
        if files:
            await self._store.forget_uploads(files)
