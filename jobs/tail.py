"""The tails of followed logs: one read of the store serves all followers of all jobs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Set
from dataclasses import dataclass
from typing import Self

from background import cancel_and_wait, keep_running
from jobs.errors import JobNotFound
from jobs.events import JobEvent
from jobs.store import JobStore
from jobs.wake import Wake, job_topic

SAFETY_POLL_SECONDS = 1.0
MAX_BATCH = 500
"""Events of one job that are read at a time."""
MAX_TAIL = 2_000
"""Events kept in memory for each followed job; a slower follower reads the store."""

MAX_KEPT_BATCHES = 64
"""Batches kept for followers that catch up, over all jobs."""


@dataclass(kw_only=True)
class Figures:
    """What following has cost this process so far."""

    jobs: int = 0
    """Jobs followed now."""
    followers: int = 0
    """Followers now."""
    reads: int = 0
    """Reads of the store on behalf of all followers together."""
    replays: int = 0
    """Batches read from the store for followers that came late or are slow."""
    replayed_events: int = 0
    """Events in those batches."""
    caught_up: Callable[[float], None] = lambda _: None
    """Called with the seconds from a follower's beginning until it had the whole log."""

    def catching_up(self) -> Callable[[], None]:
        """Returns the function that a follower, which begins now, calls whenever it has the whole log."""
        begun: list[float] = [time.monotonic()]

        def caught_up() -> None:
            if begun:
                self.caught_up(time.monotonic() - begun.pop())

        return caught_up


class _Tail:
    """The newest events of one job. A log never changes, so a tail may be short, but never stale."""

    def __init__(self, last_seq: int) -> None:
        self.events: list[JobEvent] = []
        self.last_seq = last_seq
        self.followers = 0
        self.gone = False
        self.changed = asyncio.Event()

    def after(self, seq: int) -> list[JobEvent] | None:
        """Returns the events after `seq`, or None when the tail lacks some of them."""
        first = self.last_seq - len(self.events) + 1
        return self.events[seq - first + 1 :] if seq >= first - 1 else None

    def extend(self, events: list[JobEvent]) -> None:
        self.events += events
        self.last_seq = events[-1].seq
        del self.events[:-MAX_TAIL]
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(frozen=True, kw_only=True)
class _Read:
    begun: int
    """By the clock of `_Batches`."""
    events: asyncio.Future[list[JobEvent]]


class _Batches:
    """Batches for followers that come late. A full one never changes: one read serves all that come together."""

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
                await asyncio.sleep(0)  # lets others run between the batches of a long log
            events = await asyncio.shield(read.events)  # a follower that leaves must not cancel the others' read
            # A short batch that was started before this call may lack events written since.
            if len(events) == MAX_BATCH or read.begun > came:
                return events

    def forget(self, job_id: str) -> None:
        """Drop the batches of a job that has no followers."""
        for key in [key for key in self._reads if key[0] == job_id]:
            del self._reads[key]

    def _begin(self, job_id: str, after: int) -> _Read:
        events = asyncio.ensure_future(self._read(job_id, after))
        read = self._reads[job_id, after] = _Read(begun=next(self._clock), events=events)
        events.add_done_callback(lambda _: self._keep((job_id, after), read))
        return read

    async def _read(self, job_id: str, after: int) -> list[JobEvent]:
        events = await self._store.read(job_id, after, MAX_BATCH)
        self._figures.replays += 1
        self._figures.replayed_events += len(events)
        return events

    def _keep(self, key: tuple[str, int], read: _Read) -> None:
        events = read.events
        whole = not events.cancelled() and events.exception() is None and len(events.result()) == MAX_BATCH
        if self._reads.get(key) is read and not whole:
            del self._reads[key]
        while len(self._reads) > MAX_KEPT_BATCHES:
            del self._reads[next(iter(self._reads))]


class Tails:
    """`async with Tails(store, wake) as tails`; `tails.follow` yields batches of events."""

    def __init__(self, store: JobStore, wake: Wake) -> None:
        self._store = store
        self._wake = wake
        self._tails: dict[str, _Tail] = {}
        self._dirty: set[str] = set()
        self._woken = asyncio.Event()
        self.figures = Figures()
        self._batches = _Batches(store, self.figures)
        self._poll_at = 0.0
        self._ended = False

    async def __aenter__(self) -> Self:
        self._unsubscribe = self._wake.listen(self._on_wake)
        self._reader = asyncio.create_task(keep_running(self._read_once, name="log reader"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._unsubscribe()
        await cancel_and_wait(self._reader)

    async def follow(self, job_id: str, after: int) -> AsyncGenerator[list[JobEvent], None]:
        """Yields batches of the events after `after`, stored ones first, then live ones, up to the terminal event.

        The caller pulls, so a slow one delays no others; it resumes from its own position. Raises `JobNotFound`, also
        when the job is deleted meanwhile.
        """
        with self._tail(job_id) as tail:
            seq, caught_up = after, self.figures.catching_up()
            while True:
                changed = tail.changed
                events = tail.after(seq)
                if events is None or (not events and tail.last_seq < 0):
                    events = await self._batches.read(job_id, seq)
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
        """End every follower, present or later, once it has the events that are in memory or in the store."""
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
                self._batches.forget(job_id)
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
        unchanged: Set[str] = dirty - await self._extend(dirty)  # a log that grew needs no second read
        if loop.time() >= self._poll_at:  # also under load: a wake-up may be lost, or a read have failed
            self._poll_at = loop.time() + SAFETY_POLL_SECONDS
            unchanged = self._tails.keys()
        await self._measure(unchanged)

    async def _extend(self, dirty: set[str]) -> set[str]:
        """Read what is new in the logs whose length is known. Returns the jobs whose logs grew."""
        behind = {job_id: self._tails[job_id].last_seq for job_id in dirty if self._tails[job_id].last_seq >= 0}
        if not behind:
            return set()
        self.figures.reads += 1
        batches: dict[str, list[JobEvent]] = {}
        for event in await self._store.read_many(behind, MAX_BATCH):
            batches.setdefault(event.job_id, []).append(event)
        for job_id, events in batches.items():
            if (tail := self._tails.get(job_id)) is not None and tail.last_seq == behind[job_id]:
                tail.extend(events)
            if len(events) == MAX_BATCH:
                self._read_soon(job_id)
        return set(batches)

    async def _measure(self, job_ids: Set[str]) -> None:
        """Read the logs' lengths: new tails need theirs, a longer log is read soon, and a deleted job has none."""
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
