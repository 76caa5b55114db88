"""`subscriptions/listen`: reports changes of tasks and of the list of tools."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Sequence

from api.mcp.calls import task_of
from api.mcp.messages import INVALID_PARAMS, PREFIX, Call, Payload, RpcError, notification, response
from api.stream import Frames, data_frame
from background import cancel_and_wait
from jobs import Job, JobEvent, JobNotFound
from services.web import WebServices

MAX_TASKS = 100
"""In one subscription."""


class Subscription:
    """The subscriptions of one request. They end when all its tasks have ended, or when this process begins to end."""

    def __init__(self, services: WebServices, call: Call, user: str, *, base_url: str) -> None:
        self._services = services
        self._call = call
        self._user = user
        self._base_url = base_url
        self._wanted = call.mapping("notifications")
        self._queue: asyncio.Queue[Payload | None] = asyncio.Queue()

    async def jobs(self) -> list[Job]:
        """Returns the jobs of those tasks that the caller may see. Raises `RpcError`."""
        ids = self._wanted.get("taskIds")
        if ids is None:
            return []
        self._call.require_tasks()
        if not isinstance(ids, list) or len(ids) > MAX_TASKS or not all(isinstance(one, str) for one in ids):
            raise RpcError(INVALID_PARAMS, f"taskIds: a list of at most {MAX_TASKS} ids is required.", status=200)
        found = []
        for one in dict.fromkeys(ids):
            with contextlib.suppress(JobNotFound):
                found.append(await self._services.jobs.get(one, self._user))
        return found

    async def frames(self, jobs: Sequence[Job]) -> Frames:
        agreed: Payload = {"taskIds": [job.id for job in jobs]} if "taskIds" in self._wanted else {}
        if self._wanted.get("toolsListChanged") is True:
            agreed["toolsListChanged"] = True
        yield self._frame("notifications/subscriptions/acknowledged", {"notifications": agreed})
        watchers = [self._watch_job(job) for job in jobs]
        if "toolsListChanged" in agreed:
            watchers.append(self._watch_tools())
        async with contextlib.aclosing(self._merged(watchers)) as told:
            async for frame in told:
                yield frame
        yield data_frame(response(self._call, {"_meta": self._mark()}))

    async def _merged(self, watchers: Sequence[Coroutine[None, None, None]]) -> Frames:
        """Yields the notifications of the watchers, until all have ended."""
        tasks = [asyncio.ensure_future(self._until_done(watcher)) for watcher in watchers]
        try:
            running = len(tasks)
            while running:
                told = await self._queue.get()
                if told is None:
                    running -= 1
                else:
                    yield self._frame(told["method"], told["params"])
        finally:
            for one in tasks:
                await cancel_and_wait(one)

    async def _until_done(self, watcher: Coroutine[None, None, None]) -> None:
        try:
            with contextlib.suppress(JobNotFound):
                await watcher
        finally:
            self._queue.put_nowait(None)

    async def _watch_job(self, job: Job) -> None:
        await self._tell(job.id)
        if job.ended:
            return
        follow: AsyncGenerator[list[JobEvent], None] = self._services.jobs.follow(job.id, self._user, job.last_seq)
        async with contextlib.aclosing(follow) as batches:
            async for batch in batches:
                if batch[-1].terminal:
                    await self._tell(job.id)

    async def _tell(self, job_id: str) -> None:
        job = await self._services.jobs.get(job_id, self._user)
        told = await task_of(self._services, job, base_url=self._base_url)
        self._queue.put_nowait(notification("notifications/tasks", told))

    async def _watch_tools(self) -> None:
        first = True
        async with contextlib.aclosing(self._services.jobs.follow_tools()) as changes:
            async for _ in changes:
                if not first:
                    self._queue.put_nowait(notification("notifications/tools/list_changed", {}))
                first = False

    def _mark(self) -> Payload:
        return {f"{PREFIX}subscriptionId": self._call.id}

    def _frame(self, method: str, params: Payload) -> bytes:
        return data_frame(notification(method, {**params, "_meta": self._mark()}))
