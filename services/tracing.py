"""One trace for each job, sent when it has ended, by the process that ended it. Off unless a collector is named."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from jobs import JobNotFound
from jobs.background import keep_running
from jobs.store import JobStore

if TYPE_CHECKING:
    from services.otlp import Outlet

FLUSH_SECONDS = 2.0
"""What a closing process gives the collector; a supervised worker is killed a second later."""


class Traces:
    """Hand `ended` to the store, then `async with traces.reading(store)`."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._ended: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None

    def ended(self, job_id: str) -> None:
        """Callable from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(self._ended.put_nowait, job_id)

    @contextlib.asynccontextmanager
    async def reading(self, store: JobStore) -> AsyncIterator[None]:
        """Read the logs of the jobs that end here and send them; on the way out those that are left, for a while."""
        if not self._on:
            yield
            return
        outlet = await asyncio.to_thread(_open_outlet)
        self._loop = asyncio.get_running_loop()
        sending = asyncio.create_task(keep_running(lambda: self._send_next(store, outlet), name="tracing"))
        try:
            yield
        finally:
            self._ended.put_nowait(None)
            await self._close(sending, outlet)

    async def _send_next(self, store: JobStore, outlet: Outlet) -> bool:
        job_id = await self._ended.get()
        if job_id is None:
            return True
        with contextlib.suppress(JobNotFound):  # deleted meanwhile
            job = await store.get(job_id)
            if job.finished:
                await asyncio.to_thread(outlet.send, job, await store.milestones(job_id))
        return False

    async def _close(self, sending: asyncio.Task[None], outlet: Outlet) -> None:
        closed = asyncio.Event()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await sending
                _close_in_a_thread(outlet, closed)
                await closed.wait()
        except TimeoutError:
            outlet.give_up()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


def _open_outlet() -> Outlet:
    from services.otlp import Outlet

    return Outlet()


def _close_in_a_thread(outlet: Outlet, closed: asyncio.Event) -> None:
    """A daemon: a collector that takes our connection and says nothing must not keep the process."""
    loop = asyncio.get_running_loop()

    def close() -> None:
        outlet.close()
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=close, name="traces-close", daemon=True).start()
