"""The storage directories of threads. A worker that has lost a job cannot write where later calls read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from weakref import WeakKeyDictionary

from files.store import FileStore, StorageOf
from jobs.context import JobContext
from jobs.errors import EpochStale
from jobs.models import Job


class Storages:
    """The directories of the jobs that one worker runs."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._paths: WeakKeyDictionary[JobContext, Path] = WeakKeyDictionary()
        self._locks: WeakKeyDictionary[JobContext, asyncio.Lock] = WeakKeyDictionary()

    async def take(self, ctx: JobContext) -> None:
        """Finds the directory of this attempt, which is a copy after a takeover. Raises `EpochStale`, `NoSpace`."""
        async with self._locks.setdefault(ctx, asyncio.Lock()):
            if ctx not in self._paths:
                name = await self._name(ctx)
                self._paths[ctx] = self._files.storage(*_place(ctx.job), name)

    def path(self, ctx: JobContext) -> Path:
        """Returns the directory that was taken."""
        return self._paths[ctx]

    async def _name(self, ctx: JobContext) -> str:
        folder = await ctx.folder()
        if not folder.left:
            return folder.name
        place = _place(ctx.job)
        copy = await self._files.copy_storage(*place, folder.name)
        try:
            await ctx.move_folder(copy.name)
        except EpochStale:
            await self._files.drop_storage(*place, copy.name)
            raise
        if copy.whole:
            await self._files.drop_storage(*place, folder.name)
        return copy.name


def _place(job: Job) -> tuple[str, StorageOf, str]:
    """Returns owner, kind and id. The store has checked that the thread belongs to the user."""
    if job.thread_id is not None:
        return job.user, "thread", job.thread_id
    return job.user, "job", job.root_id
