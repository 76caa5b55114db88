"""Jobs over the real SQLite store, run by hand: the test is the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

from files.store import DirectoryFileStore, StoredFile
from jobs.context import JobContext, TaskFunction
from jobs.errors import JobFailed, JobIncomplete
from jobs.events import JobCompleted, JobEvent, JobFailedEvent, JobIncompleteEvent
from jobs.models import JSON, JobRequest
from jobs.rules import Eligibility
from jobs.sqlite.store import SqliteStore
from jobs.transcript import Transcript
from jobs.wake import DatagramWake
from models.models import Models, ModelSettings, open_models
from models.tasks import build_tasks
from tests.jobs.engine import fields
from toolkit.pool import HostPool

AGENTS = Path(__file__).resolve().parent.parent.parent / "agents"
TOOLBOX = Path(__file__).parent / "toolbox"
USER = "ada"


class Desk:
    """Submits jobs, runs their tasks and reads their logs."""

    def __init__(
        self, store: SqliteStore, files: DirectoryFileStore, models: Models, pool: HostPool, agents: HostPool
    ) -> None:
        self.store = store
        self.files = files
        self.models = models
        self.pool = pool
        self.tasks: Mapping[str, TaskFunction] = build_tasks(models, pool, agents, files)
        self.alive: list[str] = []  # of the workers, worker_1, worker_2, …
        self._workers = 0

    async def submit(self, input: str | None = None, *, task: str = "chat", **fields: Any) -> JobContext:
        await self.store.submit(JobRequest(task=task, user=USER, input=input, **fields))
        return await self.take()

    async def take(self) -> JobContext:
        """As a new worker, the earlier ones being dead, except those in `alive`."""
        self._workers += 1
        eligibility = Eligibility(tasks=list(self.tasks), alive=self.alive, user_slots=100, running=[])
        job = await self.store.claim(f"worker_{self._workers}", eligibility)
        assert job is not None
        transcript = Transcript.of(await self.store.read(job.id, 0, 100_000))
        return JobContext(job, self.store, transcript, draining=asyncio.Event(), lost=lambda: None)

    async def run(self, ctx: JobContext) -> JSON:
        """Run the task and write how it ended, as a worker does."""
        try:
            result = await self.tasks[ctx.job.request.task](ctx)
        except JobFailed as failure:
            await ctx.emit(JobFailedEvent(error=failure.as_json()))
            raise
        except JobIncomplete as end:
            await ctx.emit(JobIncompleteEvent(reason=end.reason, result=end.result))
            raise
        await ctx.emit(JobCompleted(result=result, usage=ctx.usage))
        return result

    async def answer(self, input: str | None = None, **fields: Any) -> str:
        ctx = await self.submit(input, **fields)
        result = await self.run(ctx)
        assert result["text"] == Transcript.of(await self.events(ctx)).answer
        text: str = result["text"]
        return text

    async def events(self, ctx: JobContext, type: str | None = None) -> list[JobEvent]:
        ctx.deltas.flush()
        await self.store.ping()
        events = await self.store.read(ctx.job.id, 0, 100_000)
        return [event for event in events if type in (None, event.type)]

    async def finished(self, ctx: JobContext) -> dict[str, Any]:
        """The recorded steps' data by path."""
        return {fields(event)["step"]: fields(event) for event in await self.events(ctx, "step.finished")}

    async def logs(self, ctx: JobContext) -> list[str]:
        return [f"{fields(event)['level']}: {fields(event)['message']}" for event in await self.events(ctx, "log")]

    async def upload(self, name: str, content: str, *, owner: str = USER) -> StoredFile:
        async def source() -> AsyncIterator[bytes]:
            yield content.encode()

        return await self.files.save(name=name, mime="text/plain", owner=owner, source=source(), limit_bytes=10**6)


@asynccontextmanager
async def open_desk(
    directory: Path, settings: ModelSettings, pool: HostPool, agents: HostPool | None = None
) -> AsyncIterator[Desk]:
    """`agents`: the built-in ones, in a pool of their own, unless given."""
    async with (
        nullcontext(agents) if agents is not None else HostPool([AGENTS], kind="agent", spare_hosts=0) as agents,
        DatagramWake(directory / "wake") as wake,
        SqliteStore(directory / "jobs.sqlite", wake) as store,
        open_models(settings) as models,
    ):
        yield Desk(store, DirectoryFileStore(directory / "files"), models, pool, agents)


def settings_for(url: str | None, **changes: Any) -> ModelSettings:
    """For a test endpoint; None: the offline model."""
    if url is None:
        return ModelSettings(model="offline", **changes)
    return ModelSettings(
        **{"model": "test-model", "base_url": url, "api_key": "sk-secret", "idle_seconds": 20, **changes}
    )
