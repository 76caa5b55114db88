"""Whatever happens in whatever order: one log, gapless, in order, one end; a zombie writes nothing."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from jobs import EpochStale, Job, JobEvent
from jobs.errors import LogBehind
from jobs.events import JobCompleted, TextDelta
from jobs.models import ENDED
from tests.conftest import examples
from tests.jobs.engine import BACKENDS, Engine, anything, chat, claim, fields, write

T = TypeVar("T")
WORKERS = ("w1", "w2", "w3")


class Interleavings(RuleBasedStateMachine):
    """Workers claim, write, fall asleep, come back; people submit, cancel and follow."""

    backend = "sqlite"
    claims: Bundle[tuple[str, int]] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.jobs: list[str] = []
        self.alive = set(WORKERS)
        self.accepted: dict[str, list[str]] = {}
        self.seen: dict[tuple[str, int], list[JobEvent]] = {}
        self.words = 0

    def do(self, coroutine: Coroutine[None, None, T]) -> T:
        return self.runner.run(coroutine)

    @initialize()
    def open(self) -> None:
        opening = BACKENDS[self.backend](Path(self.directory.name))
        self.engine: Engine = self.do(self.stack.enter_async_context(opening))

    @rule(thread=st.sampled_from([None, "t1", "t2"]))
    def submit(self, thread: str | None) -> None:
        job = self.do(self.engine.store.submit(chat(str(len(self.jobs)), thread_id=thread)))
        self.jobs.append(job.id)
        self.accepted[job.id] = []

    @rule(target=claims, worker=st.sampled_from(WORKERS), knows=st.booleans())
    def claim(self, worker: str, knows: bool) -> tuple[str, int] | MultipleResults[tuple[str, int]]:
        """A worker that does not know what it holds, because an answer was lost, gets it again."""
        alive = tuple(self.alive | {worker})
        claiming = (
            claim(self.engine.store, worker, alive=alive)
            if knows
            else self.engine.store.claim(worker, anything(alive=alive))
        )
        job = self.do(claiming)
        return multiple() if job is None else (job.id, job.epoch)

    @rule(claim=claims, count=st.integers(1, 4))
    def write(self, claim: tuple[str, int], count: int) -> None:
        """Any holder there ever was may try."""
        words = [f"{self.words + n}" for n in range(count)]
        self.words += count
        if self._append(claim, *(TextDelta(step="model:1", text=word) for word in words)):
            self.accepted[claim[0]] += words

    @rule(claim=claims)
    def write_behind_a_hole(self, claim: tuple[str, int]) -> None:
        job: Job = self.do(self.engine.store.get(claim[0]))
        lost = TextDelta(step="model:1", text="lost")
        with pytest.raises((LogBehind, EpochStale)):
            self.do(write(self.engine.store, job.id, lost, epoch=claim[1], after=job.last_seq + 1))

    @rule(claim=consumes(claims))
    def complete(self, claim: tuple[str, int]) -> None:
        self._append(claim, JobCompleted(result=None, usage=None))

    @rule(worker=st.sampled_from(WORKERS))
    def fall_asleep(self, worker: str) -> None:
        self.alive.discard(worker)

    @rule(worker=st.sampled_from(WORKERS))
    def wake_up(self, worker: str) -> None:
        self.alive.add(worker)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.jobs:
            self.do(self.engine.store.request_cancel(data.draw(st.sampled_from(self.jobs)), "ada"))

    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        """From any seq: exactly what is behind it, and what was seen before is still so."""
        if not self.jobs:
            return
        job_id = data.draw(st.sampled_from(self.jobs))
        after = data.draw(st.integers(0, 12))
        events = self.do(self.engine.store.read(job_id, after, 1000))
        assert [event.seq for event in events] == list(range(after + 1, after + 1 + len(events)))
        before = self.seen.get((job_id, after), [])
        assert events[: len(before)] == before
        self.seen[job_id, after] = events

    @invariant()
    def every_log_is_whole(self) -> None:
        for job_id in self.jobs:
            job: Job = self.do(self.engine.store.get(job_id))
            events = self.do(self.engine.store.read(job_id, 0, 1000))
            assert [event.seq for event in events] == list(range(1, job.last_seq + 1))
            ends = [event for event in events if event.terminal]
            assert len(ends) == (job.status in ENDED)
            assert all(end is events[-1] for end in ends)
            written = [fields(event)["text"] for event in events if event.type == "text.delta"]
            assert written == self.accepted[job_id]

    @invariant()
    def one_turn_of_a_thread_runs(self) -> None:
        running = [self.do(self.engine.store.get(job_id)) for job_id in self.jobs]
        threads = [job.thread_id for job in running if job.status == "in_progress" and job.thread_id]
        assert len(threads) == len(set(threads))

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.runner.close()
        self.directory.cleanup()

    def _append(self, claim: tuple[str, int], *payloads: TextDelta | JobCompleted) -> bool:
        job_id, epoch = claim
        job: Job = self.do(self.engine.store.get(job_id))
        holds = job.epoch == epoch and job.status not in ENDED
        if holds:
            self.do(write(self.engine.store, job_id, *payloads, epoch=epoch))
        else:
            with pytest.raises(EpochStale):
                self.do(write(self.engine.store, job_id, *payloads, epoch=epoch))
        return holds


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=examples(share=1.2),
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
