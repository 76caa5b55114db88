"""The parts of the web process: the back end, the job client, and the supervised workers."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from accounts import auth_secret
from files import FileStore, FileTooLarge, NoSpace, StoredFile, StoredFileNotFound, full_disk_told
from jobs import JobClient, SchemaTooNew, WorkerRecord
from jobs.dispatch import Liveness
from jobs.rules import is_alone
from services.audit import AuditLog
from services.backend import open_backend
from services.data_dir import DataDir
from services.health import ModelProbe
from services.housekeeping import Housekeeping
from services.metrics import Metrics
from services.permissions import keep_private
from services.prices import Prices, read_prices
from services.space import FreeSpace, check_data_dir
from services.supervisor import Supervisor
from services.tracing import Traces
from services.uploads import Uploads
from settings import Settings, provide_to_chainlit, refuse, refuse_chainlits_fields, warn_of_unknown_variables
from toolkit.watchdog import LoopWatchdog

__all__ = [
    "FileStore",
    "FileTooLarge",
    "NoSpace",
    "SchemaTooNew",
    "Settings",
    "StoredFile",
    "StoredFileNotFound",
    "Uploads",
    "WebServices",
    "full_disk_told",
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
    uploads: Uploads
    """The only way to store an upload, and to list them."""

    housekeeping: Housekeeping
    liveness: Liveness
    """Knows which workers are alive."""

    chat_url: str
    """The database of the chat's own tables, as SQLAlchemy names it."""

    space: FreeSpace
    model: ModelProbe
    watchdog: LoopWatchdog
    """Counts how often this process's loop was blocked, which is a bug of ours."""

    metrics: Metrics
    prices: Prices

    async def workers(self) -> Sequence[WorkerRecord]:
        """Returns the live workers, without those that run one job alone."""
        return [one for one in self.liveness.alive(await self.jobs.workers()) if not is_alone(one.id)]


def prepare(settings: Settings) -> None:
    """Call before Chainlit is imported. Prepares its environment, the data dir, and the secret of its cookie."""
    refuse_chainlits_fields()
    warn_of_unknown_variables()
    if (file := settings.mcp_file) is not None and not file.is_file():
        refuse(f"LONGHAUL_MCP_SERVERS = {str(settings.mcp_servers)!r} cannot be used: there is no such file.")
    keep_private(DataDir(settings.data))
    check_data_dir(settings.data)
    provide_to_chainlit(auth_secret=auth_secret(settings.data))


@contextmanager
def _spool(folder: Path) -> Iterator[None]:
    """Lets uploads on their way fill the disk of the data dir, which is watched, rather than that of `/tmp`."""
    folder.mkdir(mode=0o700, exist_ok=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@asynccontextmanager
async def open_web(settings: Settings, *, embedded_workers: int) -> AsyncIterator[WebServices]:
    """Opens everything and starts the supervised workers. At the end drains them, then closes.

    `embedded_workers`: their number if the settings do not set it.
    """
    processes = embedded_workers if settings.embedded_workers is None else settings.embedded_workers
    prices = read_prices(settings.prices_path)
    async with AsyncExitStack() as stack:
        stack.enter_context(_spool(DataDir(settings.data).spool))
        stack.enter_context(AuditLog(DataDir(settings.data).audit))
        backend = await stack.enter_async_context(open_backend(settings))
        store, liveness = backend.store, backend.liveness
        if settings.traces:
            await stack.enter_async_context(Traces(store, backend.transitions))
        jobs = await stack.enter_async_context(JobClient(store, backend.wake))
        uploads = Uploads(
            store,
            backend.files,
            file_bytes=settings.max_upload_bytes,
            user_bytes=settings.user_storage_bytes,
        )
        housekeeping = await stack.enter_async_context(
            Housekeeping(store, backend.files, backend.wake, uploads, retention_days=settings.retention_days)
        )
        supervisor = await stack.enter_async_context(
            Supervisor(store, liveness, processes=processes, drain_seconds=settings.drain_seconds)
        )
        space = await stack.enter_async_context(FreeSpace(settings.data, least_mb=settings.min_free_mb))
        model = await stack.enter_async_context(ModelProbe(settings))
        watchdog = await stack.enter_async_context(LoopWatchdog("web"))
        metrics = await stack.enter_async_context(Metrics(store, jobs, liveness, supervisor, watchdog))
        yield WebServices(
            settings=settings,
            jobs=jobs,
            files=backend.files,
            uploads=uploads,
            housekeeping=housekeeping,
            liveness=liveness,
            chat_url=backend.chat_url,
            space=space,
            model=model,
            watchdog=watchdog,
            metrics=metrics,
            prices=prices,
        )
