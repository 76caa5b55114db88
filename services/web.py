"""What the web process holds: the store, the door to the jobs, the files, and the workers it supervises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from accounts import auth_secret
from files import DirectoryFileStore, FileStore, FileTooLarge, StoredFile, StoredFileNotFound
from jobs import JobClient
from jobs.local import Liveness
from jobs.sqlite import SqliteStore
from jobs.store import JobStore
from jobs.wake import DatagramWake
from services.draining import Draining
from services.health import ModelProbe
from services.housekeeping import Housekeeping
from services.metrics import Metrics
from services.permissions import keep_private
from services.supervisor import Supervisor
from services.tracing import Traces
from settings import Settings, provide_to_chainlit, refuse_chainlits_fields
from toolkit.watchdog import LoopWatchdog

__all__ = [
    "FileStore",
    "FileTooLarge",
    "Settings",
    "StoredFile",
    "StoredFileNotFound",
    "WebServices",
    "open_web",
    "prepare",
]


@dataclass(frozen=True, kw_only=True)
class WebServices:
    """Handed to the front ends; they open nothing themselves."""

    settings: Settings
    store: JobStore
    jobs: JobClient
    files: FileStore
    liveness: Liveness
    """Tells which workers are alive."""

    model: ModelProbe
    watchdog: LoopWatchdog
    """Counts how often the loop of this process was blocked: a defect of ours."""

    metrics: Metrics
    draining: Draining
    """Whether the process is about to end."""

    async def workers(self) -> int:
        """How many workers are alive."""
        return len(self.liveness.alive(await self.store.workers()))


def prepare(settings: Settings) -> None:
    """Before Chainlit is imported: its environment, the data dir, and the secret that signs its cookie."""
    refuse_chainlits_fields()
    keep_private(settings.data)
    provide_to_chainlit(auth_secret=auth_secret(settings.data))


@asynccontextmanager
async def open_web(settings: Settings, *, embedded_workers: int) -> AsyncIterator[WebServices]:
    """Open everything, start the supervised workers; on the way out drain them first, then close.

    `embedded_workers`: how many, where the settings do not say.
    """
    processes = embedded_workers if settings.embedded_workers is None else settings.embedded_workers
    data = settings.data
    async with AsyncExitStack() as stack:
        draining = stack.enter_context(Draining())
        wake = await stack.enter_async_context(DatagramWake(data / "wake"))
        traces = Traces(on=settings.traces)
        store = await stack.enter_async_context(SqliteStore(data / "jobs.db", wake, on_end=traces.ended))
        await stack.enter_async_context(traces.reading(store))
        jobs = await stack.enter_async_context(JobClient(store, wake))
        draining.then(jobs.end_follows)
        files = DirectoryFileStore(data / "files")
        liveness = Liveness(data / "workers", ttl_seconds=settings.worker_ttl_seconds)
        await stack.enter_async_context(Housekeeping(store, files, wake))
        supervisor = await stack.enter_async_context(
            Supervisor(store, liveness, processes=processes, drain_seconds=settings.drain_seconds)
        )
        model = await stack.enter_async_context(ModelProbe(settings))
        watchdog = await stack.enter_async_context(LoopWatchdog("web"))
        metrics = await stack.enter_async_context(Metrics(store, jobs, liveness, supervisor, watchdog))
        yield WebServices(
            settings=settings,
            store=store,
            jobs=jobs,
            files=files,
            liveness=liveness,
            model=model,
            watchdog=watchdog,
            metrics=metrics,
            draining=draining,
        )
