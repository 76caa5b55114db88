"""The only door for front ends: submit a job, and follow it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Self

from jobs.errors import ThreadNotFound
from jobs.events import JobEvent
from jobs.models import JSON, Job, JobRequest, Thread, WorkerRecord
from jobs.store import JobFilter, JobStore
from jobs.tail import PAGE, Figures, Tails
from jobs.transcript import Transcript
from jobs.wake import Wake, thread_topic

POLL_SECONDS = 5.0
"""A lost wake-up delays the news of a thread, or of the tools, by at most this."""


class JobClient:
    """`async with JobClient(store, wake) as client`. Where a `user` is named, other people's things are not found."""

    def __init__(self, store: JobStore, wake: Wake) -> None:
        self._store = store
        self._wake = wake
        self._tails = Tails(store, wake)

    async def __aenter__(self) -> Self:
        await self._tails.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tails.__aexit__()

    @property
    def figures(self) -> Figures:
        """What following has cost so far."""
        return self._tails.figures

    async def submit(self, request: JobRequest) -> Job:
        """Raises `ThreadNotFound`, `KeyReused`. The same key gives the same job."""
        return await self._store.submit(request)

    async def draft(self, request: JobRequest) -> Job:
        """A turn that waits for a person to fill in its arguments; `retry` with them runs it. Raises as `submit`."""
        return await self._store.draft(request)

    async def get(self, job_id: str, user: str) -> Job:
        """Raises `JobNotFound`."""
        return await self._store.get(job_id, user)

    async def position(self, job_id: str) -> int | None:
        return await self._store.position(job_id)

    async def positions(self, jobs: Sequence[Job]) -> dict[str, int]:
        """Of those that are queued, by their ids."""
        return await self._store.positions(jobs)

    async def jobs(self, query: JobFilter) -> list[Job]:
        return await self._store.jobs(query)

    async def cancel(self, job_id: str, user: str) -> Job:
        """Wish the job to stop; idempotent, harmless on a finished job. Raises `JobNotFound`."""
        await self._store.get(job_id, user)
        return await self._store.request_cancel(job_id, by=user)

    async def retry(
        self, job_id: str, user: str, arguments: Mapping[str, JSON] | None = None, files: Sequence[str] = ()
    ) -> Job:
        """A new job that goes on from the failed step; `files` come to those of the request.

        Raises `JobNotFound`, `JobConflict`.
        """
        return await self._store.retry(job_id, user, arguments, files)

    async def summaries(self, jobs: Sequence[Job]) -> dict[str, Transcript]:
        """Progress, artifacts and end of each, by the jobs' ids; neither text nor steps."""
        return await self._store.summaries(jobs)

    async def delete(self, job_id: str, user: str) -> Job | None:
        """Gives the job when it was the last of its chain of retries: the chain's files may go then.

        Raises `JobNotFound`, `JobConflict` while it runs.
        """
        return await self._store.delete_job(job_id, user)

    async def unused_files(self, user: str, files: Sequence[str]) -> list[str]:
        """Those of the files that came with no job of the user that is still there."""
        return await self._store.unused_files(user, files)

    async def follow(self, job_id: str, user: str, starting_after: int = 0) -> AsyncGenerator[list[JobEvent], None]:
        """Pages of events behind `starting_after`, to the terminal event.

        Raises `JobNotFound`, also when the job is deleted meanwhile.
        """
        job = await self._store.get(job_id, user)
        after = min(max(starting_after, 0), job.last_seq)
        if job.finished and after == job.last_seq:
            return
        async with contextlib.aclosing(self._tails.follow(job_id, after)) as pages:
            async for page in pages:
                # Who claims to be ahead of the log is sent nothing before that, but never waits for a past end.
                wanted = [event for event in page if event.seq > starting_after or event.terminal]
                if wanted:
                    yield wanted

    def end_follows(self) -> None:
        """This process is about to end: every `follow` ends behind what it has, also without a terminal event."""
        self._tails.end()

    async def events(self, job_id: str) -> list[JobEvent]:
        """The whole log as it stands."""
        events: list[JobEvent] = []
        while page := await self._store.read(job_id, events[-1].seq if events else 0, PAGE):
            events += page
        return events

    async def thread(self, thread_id: str, user: str | None = None) -> Thread:
        """Raises `ThreadNotFound`."""
        return await self._store.thread(thread_id, user)

    async def threads(
        self, user: str, *, search: str | None = None, limit: int = 20, before: str | None = None
    ) -> list[Thread]:
        """Newest first; `search` looks in titles, questions and answers."""
        return await self._store.threads(user, search=search, limit=limit, before=before)

    async def thread_jobs(self, thread_id: str) -> list[Job]:
        """The turns in order, the newest of each chain of retries."""
        return await self._store.thread_jobs(thread_id)

    async def rename_thread(self, thread_id: str, user: str, title: str) -> None:
        await self._store.rename_thread(thread_id, user, title)

    async def delete_thread(self, thread_id: str, user: str) -> None:
        """Hide it and stop its jobs; what is stored goes when they have ended. Raises `ThreadNotFound`."""
        await self._store.delete_thread(thread_id, user)

    async def follow_thread(self, thread_id: str) -> AsyncIterator[list[Job]]:
        """The turns of the thread, now and after each change, wherever it was made; ends when it is deleted."""
        seen: Sequence[str] | None = None
        async with contextlib.aclosing(self._changes(thread_topic(thread_id))) as changes:
            async for _ in changes:
                turns = await self._store.thread_jobs(thread_id)
                known, seen = seen, [job.id for job in turns]
                if known != seen:
                    yield turns
                if known and await self._deleted(thread_id):
                    return

    async def tools(self) -> list[Mapping[str, JSON]]:
        """What the workers offer, by name: {name, description, parameters, run_in, …}; the last known without them."""
        return await self._store.tools()

    async def follow_tools(self) -> AsyncGenerator[list[Mapping[str, JSON]], None]:
        """The tools now, and again whenever they have changed."""
        seen: Sequence[Mapping[str, JSON]] | None = None
        async with contextlib.aclosing(self._changes("workers")) as changes:
            async for _ in changes:
                known, seen = seen, await self._store.tools()
                if known != seen:
                    yield list(seen)

    async def workers(self) -> list[WorkerRecord]:
        """Those that have announced themselves; a dead one may still be among them."""
        return await self._store.workers()

    async def ping(self) -> None:
        """Raises when the jobs are out of reach."""
        await self._store.ping()

    async def _changes(self, topic: str) -> AsyncGenerator[None, None]:
        """Now, and after each wake-up of the topic; a lost one is made good by a slow poll."""
        changed = asyncio.Event()
        deafen = self._wake.listen(lambda topics: changed.set() if topic in topics else None)
        try:
            while True:
                changed.clear()
                yield
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):  # not wait_for: until Python 3.12 it may swallow a cancel
                        await changed.wait()
        finally:
            deafen()

    async def _deleted(self, thread_id: str) -> bool:
        try:
            await self._store.thread(thread_id)
        except ThreadNotFound:
            return True
        return False
