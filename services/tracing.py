"""One trace per job, sent at its end by the process that ended it. Off unless a collector is configured."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Self

from background import cancel_and_wait, keep_running
from jobs import Job, JobNotFound
from jobs.store import JobStore
from jobs.transitions import Change, Transition, Transitions

if TYPE_CHECKING:
    from services.otlp import Outlet

FLUSH_SECONDS = 2.0
"""The time that a closing process waits for the collector; a supervised worker is killed a second later."""


class Traces:
    """`async with Traces(store, transitions)`: sends the jobs that end here; closing waits briefly for the rest."""

    def __init__(self, store: JobStore, transitions: Transitions) -> None:
        self._store = store
        self._transitions = transitions
        self._ended: asyncio.Queue[Job | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._outlet = await asyncio.to_thread(_open_outlet)
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.create_task(keep_running(self._send_next, name="tracing"))
        self._unsubscribe = self._transitions.listen(self._on_transition)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unsubscribe()
        self._ended.put_nowait(None)
        await self._close(self._sending, self._outlet)

    def _on_transition(self, transition: Transition) -> None:
        """Called on a thread of the store."""
        if transition.change is Change.ENDED:
            self._loop.call_soon_threadsafe(self._ended.put_nowait, transition.job)

    async def _send_next(self) -> bool:
        job = await self._ended.get()
        if job is None:
            return True
        with contextlib.suppress(JobNotFound):  # deleted meanwhile
            await asyncio.to_thread(self._outlet.send, job, await self._store.milestones(job.id))
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
            await cancel_and_wait(sending)


def _open_outlet() -> Outlet:
    from services.otlp import Outlet

    return Outlet()


def _close_in_a_thread(outlet: Outlet, closed: asyncio.Event) -> None:
    """A daemon thread: a collector that accepts the connection but never answers must not keep the process alive."""
    loop = asyncio.get_running_loop()

    def close() -> None:
        outlet.close()
        with contextlib.suppress(RuntimeError):  # no caller waits any more
            loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=close, name="traces-close", daemon=True).start()
