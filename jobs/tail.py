"""The live ends of the logs that are being followed: one read of the store serves all followers of all jobs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Set
from dataclasses import dataclass
from typing import Self

from jobs.background import keep_running
from jobs.errors import JobNotFound
from jobs.events import JobEvent
from jobs.store import JobStore
from jobs.wake import Wake, job_topic

SAFETY_POLL_SECONDS = 1.0
PAGE = 500
"""Events read at a time."""
KEPT = 2_000
"""Events kept in memory for each followed job; a slower follower reads the store."""

KEPT_PAGES = 64
"""Pages kept for those who catch up, of all jobs."""


@dataclass(kw_only=True)
class Figures:
    """What following has cost this process so far."""

    jobs: int = 0
    """Followed now."""
    followers: int = 0
    """Now."""
    reads: int = 0
    """Looks at the store on behalf of all followers together."""
    replays: int = 0
    """Pages read from the store for followers that came late, or are slow."""
    replayed_events: int = 0
    """Events on those pages."""
    caught_up: Callable[[float], None] = lambda _: None
    """Told the seconds from a follower's beginning until it had everything that is there."""

    def catching_up(self) -> Callable[[], None]:
        """For one follower that begins now; what is given is called whenever it has everything."""
        begun: list[float] = [time.monotonic()]

        def caught_up() -> None:
            if begun:
                self.caught_up(time.monotonic() - begun.pop())

        return caught_up


class _Tail:
    """The newest events of one job. The log never changes, so what is kept here can not be stale, only short."""

    def __init__(self, last_seq: int) -> None:
        self.events: list[JobEvent] = []
        self.last_seq = last_seq
        self.followers = 0
        self.gone = False
        self.changed = asyncio.Event()

    def after(self, seq: int) -> list[JobEvent] | None:
        """The events behind `seq`; None when they are not all here."""
        first = self.last_seq - len(self.events) + 1
        return self.events[seq - first + 1 :] if seq >= first - 1 else None

    def extend(self, events: list[JobEvent]) -> None:
        self.events += events
        self.last_seq = events[-1].seq
        del self.events[:-KEPT]
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(frozen=True, kw_only=True)
class _Read:
    begun: int
    """By the clock of `_Pages`."""
    events: asyncio.Future[list[JobEvent]]


class _Pages:
    """Pages of logs for those who come late. A full one never changes: it is read once for all who come at once."""

    def __init__(self, store: JobStore, figures: Figures) -> None:
        self._store = store
        self._figures = figures
        self._reads: dict[tuple[str, int], _Read] = {}  # the oldest first
        self._clock = itertools.count()

    async def read(self, job_id: str, after: int) -> list[JobEvent]:
        came = next(self._clock)
        while True:
            read = self._reads.get((job_id, after)) or self._begin(job_id, after)
            if read.events.done():
                await asyncio.sleep(0)  # a long log would be read in one go
            events = await asyncio.shield(read.events)  # who leaves does not take it from the others
            # A short one that was begun before we came may lack what has been written since.
            if len(events) == PAGE or read.begun > came:
                return events

    def forget(self, job_id: str) -> None:
        """Nobody follows the job."""
        for place in [place for place in self._reads if place[0] == job_id]:
            del self._reads[place]

    def _begin(self, job_id: str, after: int) -> _Read:
        events = asyncio.ensure_future(self._read(job_id, after))
        read = self._reads[job_id, after] = _Read(begun=next(self._clock), events=events)
        events.add_done_callback(lambda _: self._keep((job_id, after), read))
        return read

    async def _read(self, job_id: str, after: int) -> list[JobEvent]:
        events = await self._store.read(job_id, after, PAGE)
        self._figures.replays += 1
        self._figures.replayed_events += len(events)
        return events

    def _keep(self, place: tuple[str, int], read: _Read) -> None:
        events = read.events
        whole = not events.cancelled() and events.exception() is None and len(events.result()) == PAGE
        if self._reads.get(place) is read and not whole:
            del self._reads[place]
        while len(self._reads) > KEPT_PAGES:
            del self._reads[next(iter(self._reads))]


class Tails:
    """`async with Tails(store, wake) as tails`; `tails.follow` gives pages of events."""

    def __init__(self, store: JobStore, wake: Wake) -> None:
        self._store = store
        self._wake = wake
        self._tails: dict[str, _Tail] = {}
        self._dirty: set[str] = set()
        self._woken = asyncio.Event()
        self.figures = Figures()
        self._pages = _Pages(store, self.figures)
        self._poll_at = 0.0
        self._ended = False

    async def __aenter__(self) -> Self:
        self._unsubscribe = self._wake.listen(self._on_wake)
        self._reader = asyncio.create_task(keep_running(self._read_once, name="the reader of logs"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unsubscribe()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def follow(self, job_id: str, after: int) -> AsyncGenerator[list[JobEvent], None]:
        """Pages of events behind `after`, stored ones first, then live ones, to the terminal event.

        The caller pulls: one that is slow holds up nobody and is owed nothing but its place. Raises `JobNotFound`,
        also when the job is deleted meanwhile.
        """
        with self._tail(job_id) as tail:
            seq, caught_up = after, self.figures.catching_up()
            while True:
                changed = tail.changed
                events = tail.after(seq)
                if events is None or (not events and tail.last_seq < 0):
                    events = await self._pages.read(job_id, seq)
                if events:
                    seq = events[-1].seq
                    if events[-1].terminal:
                        caught_up()
                    yield events
                    if events[-1].terminal:
                        return
                elif tail.gone:
                    raise JobNotFound(job_id)
                elif self._ended:
                    return
                else:
                    caught_up()
                    await changed.wait()

    def end(self) -> None:
        """Let every follower have what is here, and end; a follow that begins later ends likewise."""
        self._ended = True
        for tail in self._tails.values():
            tail.wake()

    @contextlib.contextmanager
    def _tail(self, job_id: str) -> Iterator[_Tail]:
        tail = self._tails.setdefault(job_id, _Tail(-1))
        tail.followers += 1
        self.figures.followers += 1
        self.figures.jobs = len(self._tails)
        self._read_soon(job_id)
        try:
            yield tail
        finally:
            tail.followers -= 1
            if not tail.followers:
                self._tails.pop(job_id, None)
                self._pages.forget(job_id)
            self.figures.followers -= 1
            self.figures.jobs = len(self._tails)

    def _on_wake(self, topics: frozenset[str]) -> None:
        changed = {job_id for job_id in self._tails if job_topic(job_id) in topics}
        if changed:
            self._dirty |= changed
            self._woken.set()

    async def _read_once(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._poll_at):
                await self._woken.wait()
        self._woken.clear()
        dirty, self._dirty = self._dirty & self._tails.keys(), set()
        unchanged: Set[str] = dirty - await self._extend(dirty)  # one that grew needs no second look
        if loop.time() >= self._poll_at:  # also while others are busy: a wake-up may have been lost, or a read failed
            self._poll_at = loop.time() + SAFETY_POLL_SECONDS
            unchanged = self._tails.keys()
        await self._measure(unchanged)

    async def _extend(self, dirty: set[str]) -> set[str]:
        """Read what is new in the logs whose length is known; gives those with something new."""
        behind = {job_id: self._tails[job_id].last_seq for job_id in dirty if self._tails[job_id].last_seq >= 0}
        if not behind:
            return set()
        self.figures.reads += 1
        pages: dict[str, list[JobEvent]] = {}
        for event in await self._store.read_many(behind, PAGE):
            pages.setdefault(event.job_id, []).append(event)
        for job_id, events in pages.items():
            if (tail := self._tails.get(job_id)) is not None and tail.last_seq == behind[job_id]:
                tail.extend(events)
            if len(events) == PAGE:
                self._read_soon(job_id)
        return set(pages)

    async def _measure(self, job_ids: Set[str]) -> None:
        """Learn the lengths of new tails' logs, and which jobs are gone."""
        if not job_ids:
            return
        self.figures.reads += 1
        known = set(job_ids)
        lengths = await self._store.last_seqs(sorted(known))
        for job_id in known & self._tails.keys():
            tail = self._tails[job_id]
            if job_id not in lengths:
                tail.gone = True
                tail.wake()
            elif tail.last_seq < 0:
                tail.last_seq = lengths[job_id]
                tail.wake()
            elif lengths[job_id] > tail.last_seq:
                self._read_soon(job_id)

    def _read_soon(self, job_id: str) -> None:
        self._dirty.add(job_id)
        self._woken.set()
