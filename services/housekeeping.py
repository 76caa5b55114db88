"""Removes deleted threads once their jobs have ended."""

from __future__ import annotations

import asyncio
import logging
from typing import Self

from background import cancel_and_wait, keep_running, wait_event
from files import FileStore
from jobs import Thread
from jobs.store import JobStore
from jobs.wake import Wake

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""The end of a thread's last job wakes the housekeeping; this limits the delay when the wake-up is lost."""


class Housekeeping:
    """`async with Housekeeping(...)`: runs in the background until it is closed."""

    def __init__(self, store: JobStore, files: FileStore, wake: Wake) -> None:
        self._store = store
        self._files = files
        self._wake = wake
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._unsubscribe = self._wake.listen(lambda topics: self._woken.set() if "queue" in topics else None)
        self._task = asyncio.create_task(self._keep_house())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unsubscribe()
        await cancel_and_wait(self._task)

    async def _keep_house(self) -> None:
        await keep_running(self._settle, name="search index")
        await keep_running(self._clear_once, name="housekeeping")

    async def _settle(self) -> bool:
        """Runs once: a process may have been killed after a job's end and before its answer was indexed."""
        await self._store.settle()
        return True

    async def _clear_once(self) -> None:
        self._woken.clear()
        for thread in await self._store.deleted_threads():
            await self._purge(thread)
        await wait_event(self._woken, EVERY_SECONDS)

    async def _purge(self, thread: Thread) -> None:
        """Files first: after a crash in between, the jobs are still there and the next round continues."""
        jobs = await self._store.thread_jobs(thread.id)
        files = [file_id for job in jobs for file_id in job.request.files]
        for file_id in await self._store.unused_files(thread.owner, files, without_thread=thread.id):
            await self._files.delete(file_id)
        for job in jobs:
            await self._files.delete_artifacts(job.root_id)
        await self._files.delete_storage(thread.owner, "thread", thread.id)
        await self._store.purge_thread(thread.id)
        logger.info("deleted thread cleared", extra={"fields": {"thread": thread.id, "turns": len(jobs)}})
