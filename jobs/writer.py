"""What the holder of a job writes: in order, without a hole, and the same bytes again while the store fails."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from jobs.errors import EpochStale, LogBehind, StoreUnavailable
from jobs.events import Entry, KnownPayload
from jobs.journal import of_job
from jobs.models import Job
from jobs.store import JobStore
from jobs.transcript import Transcript

logger = logging.getLogger(__name__)

HOLD_SECONDS = 30.0
"""What the store does not take within this is given up, and the attempt with it."""
FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 1.0


@dataclass(kw_only=True, eq=False)
class _Write:
    """Events behind seq `after` that the store has not confirmed."""

    after: int
    entries: Sequence[Entry]
    taken: Sequence[int]
    answer: str | None
    """Of the whole job, with its end."""
    confirmed: asyncio.Future[int]
    """The last seq."""


class LogWriter:
    """Writes the events of one attempt.

    Writes are sent one behind the other without waiting. When one fails, it and all behind it are held and sent again,
    in order. When that does not help, or the job is held by another worker, `lost` is called, every write that is not
    confirmed fails, and so does every later one: the log of an attempt may be short, but never has a hole.
    """

    def __init__(self, store: JobStore, job: Job, transcript: Transcript, *, lost: Callable[[], None]) -> None:
        """`transcript` is of the log so far; what is written is folded into it."""
        self._store = store
        self._job = job
        self._transcript = transcript
        self._lost = lost
        self._end = job.last_seq
        self._writes: deque[_Write] = deque()
        self._resending: asyncio.Task[None] | None = None
        self.failure: Exception | None = None
        """Why nothing more can be written."""

    def append(self, payloads: Sequence[KnownPayload], *, taken: Sequence[int] = ()) -> asyncio.Future[int]:
        """Write events behind all others; the result is the last seq. `taken`: as in `JobStore.append`.

        Raises `TypeError` or `ValueError`, at once and without harm, for what is no JSON.
        """
        entries = [payload.entry() for payload in payloads]
        confirmed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.failure is not None:
            _fail(confirmed, self.failure)
            return confirmed
        for payload in payloads:
            self._transcript.feed(payload)
        answer = None if self._transcript.end is None else self._transcript.answer
        write = _Write(after=self._end, entries=entries, taken=taken, answer=answer, confirmed=confirmed)
        self._end += len(entries)
        self._writes.append(write)
        if self._resending is None:
            self._send(write).add_done_callback(partial(self._answered, write))
        return confirmed

    def close(self) -> None:
        """The attempt is over: send nothing again."""
        self.failure = self.failure or EpochStale(self._job.id)
        if self._resending is not None:
            self._resending.cancel()

    def _send(self, write: _Write) -> asyncio.Future[int]:
        job = self._job
        return self._store.append(
            job.id, job.epoch, write.entries, after=write.after, taken=write.taken, answer=write.answer
        )

    def _answered(self, write: _Write, answer: asyncio.Future[int]) -> None:
        error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        if error is None:
            self._confirm(write)
        elif not isinstance(error, (StoreUnavailable, LogBehind)):
            self._give_up(error)
        elif self._resending is None and self.failure is None:
            problem = str(error.__cause__ or error)
            logger.warning("write failed; sending it again", extra=of_job(self._job, problem=problem))
            self._resending = asyncio.create_task(self._resend(), name=f"resend {self._job.id}")

    def _confirm(self, write: _Write) -> None:
        """The store takes a write only behind the one before it: what was sent earlier stands there, too."""
        while write in self._writes:
            first = self._writes.popleft()
            if not first.confirmed.done():
                first.confirmed.set_result(first.after + len(first.entries))

    async def _resend(self) -> None:
        """One write at a time, until nothing is held."""
        try:
            while self._writes:
                write = self._writes[0]
                await self._send_until_taken(write)
                self._confirm(write)
        except Exception as error:  # noqa: BLE001  # whatever it is, the writes behind it would leave a hole
            self._give_up(error)
        finally:
            self._resending = None

    async def _send_until_taken(self, write: _Write) -> None:
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + HOLD_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                await self._send(write)
                return
            except (StoreUnavailable, LogBehind):
                if loop.time() + pause >= deadline:
                    raise
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    def _give_up(self, error: BaseException) -> None:
        if self.failure is not None:
            return
        self.failure = error if isinstance(error, Exception) else StoreUnavailable()
        while self._writes:
            _fail(self._writes.popleft().confirmed, self.failure)
        self._lost()


def _fail(confirmed: asyncio.Future[int], failure: Exception) -> None:
    if not confirmed.done():
        confirmed.set_exception(failure)
        confirmed.exception()  # streamed text has nobody who awaits it
