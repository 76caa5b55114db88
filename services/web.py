"""The parts of the web process: the back end, the job client, and the supervised workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from accounts import auth_secret
from files import FileStore, FileTooLarge, StoredFile, StoredFileNotFound
from jobs import JobClient, WorkerRecord
from jobs.dispatch import Liveness
from services.backend import open_backend
from services.data_dir import DataDir
from services.health import ModelProbe
from services.housekeeping import Housekeeping
from services.metrics import Metrics
from services.permissions import keep_private
from services.prices import Prices, read_prices
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
    """Passed to the front ends, which open nothing themselves."""

    settings: Settings
    jobs: JobClient
    """The only access to jobs."""

    files: FileStore
    liveness: Liveness
    """Knows which workers are alive."""

    chat_url: str
    """The database of the chat's own tables, as SQLAlchemy names it."""

    model: ModelProbe
    watchdog: LoopWatchdog
    """Counts how often this process's loop was blocked, which is a bug of ours."""

    metrics: Metrics
    prices: Prices

    async def workers(self) -> Sequence[WorkerRecord]:
        """Returns the live workers."""
        return self.liveness.alive(await self.jobs.workers())


def prepare(settings: Settings) -> None:
    """Call before Chainlit is imported. Prepares its environment, the data dir, and the secret of its cookie."""
    refuse_chainlits_fields()
    keep_private(DataDir(settings.data))
    provide_to_chainlit(auth_secret=auth_secret(settings.data))


@asynccontextmanager
async def open_web(settings: Settings, *, embedded_workers: int) -> AsyncIterator[WebServices]:
    """Opens everything and starts the supervised workers. At the end drains them, then closes.

    `embedded_workers`: their number if the settings do not set it.
    """
    processes = embedded_workers if settings.embedded_workers is None else settings.embedded_workers
    prices = read_prices(settings.prices_path)
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(open_backend(settings))
        store, liveness = backend.store, backend.liveness
        if settings.traces:
            await stack.enter_async_context(Traces(store, backend.transitions))
        jobs = await stack.enter_async_context(JobClient(store, backend.wake))
        await stack.enter_async_context(Housekeeping(store, backend.files, backend.wake))
        supervisor = await stack.enter_async_context(
            Supervisor(store, liveness, processes=processes, drain_seconds=settings.drain_seconds)
        )
        model = await stack.enter_async_context(ModelProbe(settings))
        watchdog = await stack.enter_async_context(LoopWatchdog("web"))
        metrics = await stack.enter_async_context(Metrics(store, jobs, liveness, supervisor, watchdog))
        yield WebServices(
            settings=settings,
            jobs=jobs,
            files=backend.files,
            liveness=liveness,
            chat_url=backend.chat_url,
            model=model,
            watchdog=watchdog,
            metrics=metrics,
            prices=prices,
        )
