"""Turns as screens, read from the log."""

from __future__ import annotations

from collections import OrderedDict

from handlers.render import TurnScreen
from jobs import Job, JobClient
from services.web import FileStore, StoredFile, StoredFileNotFound

KEPT = 200
"""Ended turns that are kept rendered: Chainlit asks for a thread three times when a page opens it."""


class Turns:
    """Opens turns; one that has ended never changes again and is rendered once."""

    def __init__(self, jobs: JobClient, files: FileStore) -> None:
        self._jobs = jobs
        self._files = files
        self._ended: OrderedDict[str, TurnScreen] = OrderedDict()

    async def of_thread(self, thread_id: str) -> list[TurnScreen]:
        """The thread's turns in their order, up to date with the log."""
        return [await self._open(job) for job in await self._jobs.thread_jobs(thread_id)]

    async def begin(self, job: Job) -> TurnScreen:
        """The turn before its first event."""
        return TurnScreen(job, await self._attached(job))

    async def _open(self, job: Job) -> TurnScreen:
        if job.id in self._ended:
            self._ended.move_to_end(job.id)
            return self._ended[job.id]
        turn = await self.begin(job)
        turn.feed(await self._jobs.events(job.id))
        if turn.ended is not None:
            self._ended[job.id] = turn
            if len(self._ended) > KEPT:
                self._ended.popitem(last=False)
        return turn

    async def _attached(self, job: Job) -> list[StoredFile]:
        """The files of the turn's message that are still there."""
        found = []
        for file_id in job.request.files:
            try:
                found.append(await self._files.get(file_id, job.user))
            except StoredFileNotFound:
                continue
        return found
