"""Opens the stores of jobs and files and the channels between processes, for web and worker alike.

Another back end is another branch of `open_backend`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from files import DirectoryFileStore, FileStore
from jobs import journal
from jobs.dispatch import Dispatcher, Liveness
from jobs.local import LocalDispatcher, LocalLiveness
from jobs.models import JSON
from jobs.sqlite import SqliteStore
from jobs.store import JobStore
from jobs.transitions import Transitions
from jobs.wake import DatagramWake, Wake
from services.data_dir import DataDir
from settings import Settings


class OpenDispatcher(Protocol):
    """Registers a worker with its tasks and tools; unregisters it at the end."""

    def __call__(
        self, *, tasks: Sequence[str], catalogue: Sequence[Mapping[str, JSON]]
    ) -> AbstractAsyncContextManager[Dispatcher]: ...


@dataclass(frozen=True, kw_only=True)
class Backend:
    """What web and worker share with the other processes."""

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
    async with _open_local(settings, DataDir(settings.data)) as backend:
        yield backend


@asynccontextmanager
async def _open_local(settings: Settings, data: DataDir) -> AsyncIterator[Backend]:
    """SQLite, files, locks and sockets in the data dir: one machine."""
    transitions = Transitions()
    transitions.listen(journal.write)
    async with DatagramWake(data.wake) as wake, SqliteStore(data.jobs, wake, transitions=transitions) as store:
        liveness = LocalLiveness(data.workers, ttl_seconds=settings.worker_ttl_seconds)
        yield Backend(
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
            chat_url=f"sqlite+aiosqlite:///{data.chat}",
        )
