"""Opens the stores of jobs and files and the channels between processes, for web and worker alike.

With `DATABASE_URL`, PostgreSQL holds what SQLite files and sockets in the data dir do without: any number of machines.
Files stay in the data dir, which all of them share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from files import DirectoryFileStore, FileStore
from jobs import StoreUnavailable, journal
from jobs.dispatch import Dispatcher, Liveness
from jobs.errors import SchemaTooNew, reason_for_log
from jobs.local import LocalDispatcher, LocalLiveness
from jobs.models import JSON, Limits
from jobs.sql.store import SqlStore
from jobs.sqlite import SqliteStore
from jobs.store import JobStore
from jobs.transitions import Transitions
from jobs.wake import DatagramWake, Wake
from services.data_dir import DataDir
from services.mounts import check_local
from settings import Settings, refuse


class OpenDispatcher(Protocol):
    """Registers a worker with its tasks and tools; unregisters it at the end. See `LocalDispatcher`."""

    def __call__(
        self,
        *,
        tasks: Sequence[str],
        catalogue: Sequence[Mapping[str, JSON]],
        isolate: Callable[[str], None] | None = None,
        only: str | None = None,
    ) -> AbstractAsyncContextManager[Dispatcher]: ...


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The resources that web and worker share with other processes."""

    store: JobStore
    wake: Wake
    files: FileStore
    liveness: Liveness
    transitions: Transitions
    """Reports each change that this process makes to a job, to any number of listeners."""
    dispatcher: OpenDispatcher
    chat_url: str
    """The database of the chat's own tables, as SQLAlchemy names it."""


@asynccontextmanager
async def open_backend(settings: Settings) -> AsyncIterator[Backend]:
    """Opens the parts that the settings name, in order; closes them in reverse."""
    data, transitions = DataDir(settings.data), Transitions()
    transitions.listen(journal.write)
    limits = Limits(queued_jobs=settings.user_queue, stored_bytes=settings.user_storage_bytes)
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            check_local(data.path)
            wake: Wake = await stack.enter_async_context(DatagramWake(data.wake))
            opening: SqlStore = SqliteStore(data.jobs, wake, transitions=transitions, limits=limits)
            chat_url = f"sqlite+aiosqlite:///{data.chat}"
        else:
            from jobs.postgres import PostgresStore, PostgresWake  # psycopg's import is of no use to SQLite

            url = settings.database_url.get_secret_value()
            listen_url = settings.listen_url.get_secret_value() if settings.listen_url else url
            wake = await stack.enter_async_context(PostgresWake(listen_url))
            opening = PostgresStore(url, wake, transitions=transitions, limits=limits)
            chat_url = f"postgresql+psycopg://{url.partition('://')[2]}"
        try:
            store = await stack.enter_async_context(opening)
        except SchemaTooNew as error:
            refuse(str(error))
        except StoreUnavailable as error:
            refuse(f"The database cannot be opened: {reason_for_log(error)}.")
        yield _backend(settings, data, store=store, wake=wake, transitions=transitions, chat_url=chat_url)


def _backend(
    settings: Settings, data: DataDir, *, store: JobStore, wake: Wake, transitions: Transitions, chat_url: str
) -> Backend:
    liveness = LocalLiveness(data.workers, ttl_seconds=settings.worker_ttl_seconds)
    return Backend(
        store=store,
        wake=wake,
        files=DirectoryFileStore(data.files),
        liveness=liveness,
        transitions=transitions,
        dispatcher=partial(
            LocalDispatcher,
            store,
            wake,
            data.workers,
            user_slots=settings.user_slots,
            ttl_seconds=settings.worker_ttl_seconds,
            liveness=liveness,
        ),
        chat_url=chat_url,
    )
