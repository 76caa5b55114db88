"""The interface for front ends: submit a job, follow it, cancel it, retry it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence, Set
from typing import Self

import audit
from background import wait_event
from jobs.errors import JobsError, ThreadNotFound
from jobs.estimates import Range
from jobs.events import JobEvent
from jobs.models import JSON, Job, JobRequest, JobStatus, Overlap, Queue, Thread, WorkerRecord
from jobs.rules import TITLE_PARTS, title_of
from jobs.store import JobFilter, JobStore
from jobs.tail import MAX_BATCH, Figures, Tails
from jobs.transcript import Transcript
from jobs.wake import Wake, job_topic, thread_topic

POLL_SECONDS = 5.0
"""The longest delay that a lost wake-up adds before a change of a thread, or of the tools, is seen."""

FEED_SECONDS = 0.5
"""The shortest time between two reports of all of a user's jobs."""
TELL_AGAIN_SECONDS = 60.0
"""The clocks of machines differ by less."""
MAX_FOLLOWED = 200
UNSERVED_SECONDS = 5.0
"""A job that waits for so long because of its task says so: a worker that starts has had its time."""


class JobClient:
    """`async with JobClient(store, wake) as client`. Methods with a `user` do not find other people's things."""

    def __init__(self, store: JobStore, wake: Wake) -> None:
        self._store = store
        self._wake = wake
        self._tails = Tails(store, wake)
        self._ending = False
        self._followed: set[asyncio.Event] = set()  # one for each loop over changes

    async def __aenter__(self) -> Self:
        await self._tails.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tails.__aexit__()

    @property
    def figures(self) -> Figures:
        """Counters of this process's reads for followers."""
        return self._tails.figures

    async def submit(self, request: JobRequest, overlap: Overlap = "next") -> Job:
        """Raises `ThreadNotFound`, `KeyReused`. Returns the earlier job when its key is the same."""
        return await self._store.submit(request, overlap)

    async def draft(self, request: JobRequest) -> Job:
        """Create a turn without arguments, which a person fills in; `retry` with them runs it. Raises as `submit`."""
        return await self._store.draft(request)

    async def get(self, job_id: str, user: str | None) -> Job:
        """Raises `JobNotFound`."""
        return await self._store.get(job_id, user)

    async def queue(self) -> Queue:
        return await self._store.queue()

    async def position(self, job_id: str) -> int | None:
        return await self._store.position(job_id)

    async def positions(self, jobs: Sequence[Job]) -> dict[str, int]:
        """Returns the queue positions of those jobs that are queued, by job id."""
        return await self._store.positions(jobs)

    async def waits(self, jobs: Sequence[Job]) -> dict[str, Range]:
        """Returns by job id how long those that are queued may still wait, if enough is known of those before them."""
        return await self._store.waits(jobs)

    async def unserved(self, jobs: Sequence[Job]) -> set[str]:
        """Returns the ids of those that have waited for `UNSERVED_SECONDS` and whose task no running worker has."""
        now = time.time()
        waiting = [job for job in jobs if job.status is JobStatus.QUEUED and now - job.created_at > UNSERVED_SECONDS]
        if not waiting:
            return set()
        served = {task for worker in await self._store.workers() if not worker.stopped for task in worker.tasks}
        return {job.id for job in waiting if job.request.task not in served}

    async def jobs(self, query: JobFilter) -> list[Job]:
        return await self._store.jobs(query)

    async def cancel(self, job_id: str, user: str, *, by: str | None = None) -> Job:
        """Record that the user, or an administrator `by`, wants to stop the job. Idempotent; an ended job stays so.

        Raises `JobNotFound`.
        """
        job = await self._store.request_cancel(job_id, user, by)
        audit.record("job cancelled", who=by or user, job=job_id)
        return job

    async def try_now(self, job_id: str, user: str) -> Job:
        """End a running job's wait for the model endpoint. Does nothing to another job. Raises `JobNotFound`."""
        return await self._store.try_now(job_id, user)

    async def edit(self, job_id: str, user: str, text: str) -> Job:
        """Replace the text of a waiting job. Raises `JobNotFound`, and `JobConflict` once it has started."""
        return await self._store.edit(job_id, user, text)

    async def retry(
        self, job_id: str, user: str, arguments: Mapping[str, JSON] | None = None, files: Sequence[str] = ()
    ) -> Job:
        """Create a new job that continues from the failed step; `files` are added to those of the request.

        Raises `JobNotFound`, `JobConflict`.
        """
        return await self._store.retry(job_id, user, arguments, files)

    async def summaries(self, jobs: Sequence[Job]) -> dict[str, Transcript]:
        """Returns the progress, artifacts and end of each job, by job id, without text and steps."""
        return await self._store.summaries(jobs)

    async def follow(self, job_id: str, user: str, starting_after: int = 0) -> AsyncGenerator[list[JobEvent], None]:
        """Yields batches of the events after `starting_after`, up to the terminal event.

        Raises `JobNotFound`, also when the job is deleted meanwhile.
        """
        job = await self._store.get(job_id, user)
        after = min(max(starting_after, 0), job.last_seq)
        if job.ended and after == job.last_seq:
            return
        async with contextlib.aclosing(self._tails.follow(job_id, after)) as batches:
            async for batch in batches:
                # A caller that claims to be ahead of the log gets no earlier events, but still gets an earlier end.
                wanted = [event for event in batch if event.seq > starting_after or event.terminal]
                if wanted:
                    yield wanted

    async def follow_jobs(self, user: str | None, since: float) -> AsyncGenerator[list[Job], None]:
        """Yields the user's jobs (None: all) that have not ended, or ended after `since` (Unix seconds), now and after
        each change of one of them, at most twice a second. A job that has ended stays among them for a minute."""
        topics = {"queue"}
        async with contextlib.aclosing(self._changes(topics)) as changes:
            async for _ in changes:
                if self._ending:
                    return
                jobs = await self._store.changed_jobs(user, since, MAX_FOLLOWED)
                topics.intersection_update({"queue"})
                topics.update(job_topic(job.id) for job in jobs if not job.ended)
                yield jobs
                recent = time.time() - TELL_AGAIN_SECONDS
                since = recent if since > time.time() else max(since, recent)  # the clock was set back
                await asyncio.sleep(FEED_SECONDS)

    def end_follows(self) -> None:
        """End every `follow`, `follow_jobs` and `follow_tools` after what it has read: this process is about to end."""
        self._tails.end()
        self._ending = True
        for changed in self._followed:
            changed.set()

    async def log(self, job_id: str) -> AsyncGenerator[Sequence[JobEvent]]:
        """Yields the whole log as it is now, in batches, so that others have their turn while a long one is folded."""
        after = 0
        while batch := await self._store.read(job_id, after, MAX_BATCH):
            yield batch
            after = batch[-1].seq

    async def thread(self, thread_id: str, user: str | None = None) -> Thread:
        """Raises `ThreadNotFound`."""
        return await self._store.thread(thread_id, user)

    async def threads(
        self, user: str, *, search: str | None = None, limit: int = 20, before: str | None = None
    ) -> list[Thread]:
        """Returns the threads, newest first; `search` looks in titles, questions and answers."""
        return await self._store.threads(user, search=search, limit=limit, before=before)

    async def thread_jobs(self, thread_id: str) -> list[Job]:
        """Returns the turns in order, each as the newest job of its chain of retries."""
        return await self._store.thread_jobs(thread_id)

    async def rename_thread(self, thread_id: str, user: str, title: str) -> None:
        await self._store.rename_thread(thread_id, user, title)

    async def name_after_files(self, job: Job, names: Sequence[str]) -> None:
        """Add the files' names to the title of a thread that has just started with them, unless it was renamed.

        Errors are ignored: the job has been accepted already.
        """
        if job.turn != 1 or job.thread_id is None or not names:
            return
        title = title_of(job.request)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        with contextlib.suppress(JobsError):
            if (await self.thread(job.thread_id, job.user)).title == title:
                await self.rename_thread(job.thread_id, job.user, f"{title}{TITLE_PARTS}{names[0][:60]}{more}")

    async def delete_thread(self, thread_id: str, user: str) -> None:
        """Hide the thread and cancel its jobs; its data goes when they have ended. Raises `ThreadNotFound`."""
        await self._store.delete_thread(thread_id, user)
        audit.record("thread deleted", thread=thread_id, owner=user)

    async def follow_thread(self, thread_id: str, user: str) -> AsyncIterator[list[Job]]:
        """Yields the turns of the user's thread, now and after each change, wherever it was made.

        Waits for a thread that does not exist yet, and ends when it is deleted: the next thread of that name may be
        another user's.
        """
        seen: Sequence[str] | None = None
        async with contextlib.aclosing(self._changes({thread_topic(thread_id)})) as changes:
            async for _ in changes:
                if not await self._is_theirs(thread_id, user):
                    if seen is not None:
                        return
                    continue
                turns = await self._store.thread_jobs(thread_id)
                known, seen = seen, [job.id for job in turns]
                if known != seen:
                    yield [job for job in turns if job.user == user]

    async def tools(self) -> list[Mapping[str, JSON]]:
        """Returns the tools on offer, by name: {name, description, parameters, run_in, …}; else the last."""
        return [one for one in await self._store.tools() if not _is_agent(one)]

    async def agents(self) -> list[Mapping[str, JSON]]:
        """Returns the agents on offer, the default one first: {name, description, parameters, starters, …}."""
        agents = [one for one in await self._store.tools() if _is_agent(one)]
        return sorted(agents, key=lambda one: not one["is_default"])

    async def follow_tools(self) -> AsyncGenerator[list[Mapping[str, JSON]], None]:
        """Yields the tools now, and again after each change."""
        seen: Sequence[Mapping[str, JSON]] | None = None
        async with contextlib.aclosing(self._changes({"workers"})) as changes:
            async for _ in changes:
                if self._ending:
                    return
                known, seen = seen, await self.tools()
                if known != seen:
                    yield list(seen)

    async def workers(self) -> list[WorkerRecord]:
        """Those that have announced themselves; a dead one may still be among them."""
        return await self._store.workers()

    async def ping(self) -> None:
        """Raises when the jobs are out of reach."""
        await self._store.ping()

    async def is_writable(self) -> bool:
        """Whether the jobs' database accepts writes at once. Otherwise writes wait."""
        return await self._store.is_writable()

    async def _changes(self, topics: Set[str]) -> AsyncGenerator[None, None]:
        """Yields now, after each wake-up of one of the topics, which may change meanwhile, and when this process is
        about to end; a slow poll makes up for a lost wake-up."""
        changed = asyncio.Event()
        unsubscribe = self._wake.listen(lambda woken: None if topics.isdisjoint(woken) else changed.set())
        self._followed.add(changed)
        try:
            while True:
                changed.clear()
                yield
                await wait_event(changed, POLL_SECONDS)
        finally:
            unsubscribe()
            self._followed.discard(changed)

    async def _is_theirs(self, thread_id: str, user: str) -> bool:
        try:
            await self._store.thread(thread_id, user)
        except ThreadNotFound:
            return False
        return True


def _is_agent(offered: Mapping[str, JSON]) -> bool:
    """Earlier versions offered tools only."""
    return offered.get("kind") == "agent"
