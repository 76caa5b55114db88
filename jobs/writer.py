"""The holder's writes to a job's log: in order, without gaps, resent byte for byte while the store fails."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from jobs.errors import EpochStale, LogBehind, StoreUnavailable, reason_for_log
from jobs.events import Entry, KnownPayload
from jobs.journal import of_job
from jobs.models import Job
from jobs.store import JobStore
from jobs.transcript import Transcript

logger = logging.getLogger(__name__)

MAX_RESEND_SECONDS = 30.0
"""A write that the store has not taken within this is given up, and the attempt with it."""
FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 1.0
MAX_UNSTORED_CHARACTERS = 256 * 1024
"""While more unstored text than this of a job is queued, no more text should be requested."""


@dataclass(eq=False, slots=True)
class _Write:
    """Events after seq `after` that the store has not confirmed."""

    after: int
    entries: Sequence[Entry]
    taken: Sequence[int]
    answer: str | None
    """The whole job's answer, sent with its end."""
    confirmed: asyncio.Future[int] | None
    """Its result is the last seq. None if no caller waits for it."""
    size: int
    """Characters of its events, as stored."""

    def confirm(self) -> None:
        if self.confirmed is not None and not self.confirmed.done():
            self.confirmed.set_result(self.after + len(self.entries))

    def fail(self, failure: Exception) -> None:
        if self.confirmed is not None and not self.confirmed.done():
            self.confirmed.set_exception(failure)


class LogWriter:
    """Writes the events of one attempt.

    Writes are sent in order, without waiting for each other. When one fails, it and all later ones are kept and resent
    in order. When that fails too, or another worker holds the job, the writer calls `lost` and fails every unconfirmed
    and every later write: an attempt's log may be short, but never has gaps.
    """

    def __init__(self, store: JobStore, job: Job, transcript: Transcript, *, lost: Callable[[], None]) -> None:
        """`transcript` is the fold of the log so far; the writer feeds it each payload that it writes."""
        self._store = store
        self._job = job
        self._transcript = transcript
        self._lost = lost
        self._end = job.last_seq
        self._writes: deque[_Write] = deque()
        self._unstored = 0  # characters
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._resending: asyncio.Task[None] | None = None
        self.failure: Exception | None = None
        """Why writes are no longer possible; None while they are."""

    def append(self, payloads: Sequence[KnownPayload], *, taken: Sequence[int] = ()) -> asyncio.Future[int]:
        """As `post`; the future's result is the last seq. Await it, or use `post`."""
        confirmed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.post(payloads, taken=taken, confirmed=confirmed)
        return confirmed

    def post(
        self,
        payloads: Sequence[KnownPayload],
        *,
        taken: Sequence[int] = (),
        confirmed: asyncio.Future[int] | None = None,
    ) -> None:
        """Write events after all others. `taken` is as in `JobStore.append`.

        `confirmed` gets the last seq, or the failure. Without it, a failure shows only in `lost` and `failure`.
        Raises `TypeError` or `ValueError`, with nothing written, for a payload that is not JSON.
        """
        entries = [payload.entry() for payload in payloads]
        write = _Write(self._end, entries, taken, None, confirmed, sum(len(entry.data) for entry in entries))
        if self.failure is not None:
            write.fail(self.failure)
            return
        for payload in payloads:
            self._transcript.feed(payload)
        if self._transcript.end is not None:
            write.answer = self._transcript.answer
        self._end += len(entries)
        self._writes.append(write)
        self._unstored += write.size
        if self._unstored > MAX_UNSTORED_CHARACTERS:
            self._has_room.clear()
        if self._resending is None:
            self._send(write).add_done_callback(partial(self._answered, write))

    def room(self) -> Awaitable[object] | None:
        """Returns an awaitable while `MAX_UNSTORED_CHARACTERS` are queued, else None."""
        return None if self._has_room.is_set() else self._has_room.wait()

    def close(self) -> None:
        """End the attempt: nothing is sent again."""
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
            logger.warning("write failed; sending it again", extra=of_job(self._job, problem=reason_for_log(error)))
            self._resending = asyncio.create_task(self._resend(), name=f"resend {self._job.id}")

    def _confirm(self, write: _Write) -> None:
        """Confirm a write and all before it: the store takes a write only after the one before it."""
        while write in self._writes:
            stored = self._writes.popleft()
            self._unstored -= stored.size
            stored.confirm()
        if self._unstored <= MAX_UNSTORED_CHARACTERS:
            self._has_room.set()

    async def _resend(self) -> None:
        """Send the kept writes one at a time until none is left."""
        try:
            while self._writes:
                write = self._writes[0]
                await self._send_until_taken(write)
                self._confirm(write)
        except Exception as error:  # noqa: BLE001  # whatever it is, later writes would leave a gap
            self._give_up(error)
        finally:
            self._resending = None

    async def _send_until_taken(self, write: _Write) -> None:
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + MAX_RESEND_SECONDS, FIRST_PAUSE_SECONDS
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
            self._writes.popleft().fail(self.failure)
        self._has_room.set()
        self._lost()
