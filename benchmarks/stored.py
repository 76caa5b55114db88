"""Writes ended jobs into a store by its own methods, without a model or a worker."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from jobs import Job, JobRequest
from jobs.events import JobCompleted, StepFinished, StepStarted, TextDelta
from jobs.rules import Eligibility
from jobs.sqlite import SqliteStore
from jobs.store import JobStore
from jobs.transcript import Transcript
from jobs.wake import DatagramWake
from jobs.writer import LogWriter
from models.replies import ModelReply
from names import SHARED_USER

WORKER = "bench"
TASK = "chat"
STEP = "model:1"
GROUP = 2_000
"""Events written at a time."""


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[SqliteStore]:
    """Opens the store of a data directory."""
    async with DatagramWake(data / "wake") as wake, SqliteStore(data / "jobs.db", wake) as store:
        yield store


def word(index: int) -> str:
    """Returns a word as long as those of `benchmarks.endpoint`."""
    return f"w{index}@1750000000 "


async def submit(store: JobStore, thread_id: str | None = None) -> Job:
    request = JobRequest(
        task=TASK, user=SHARED_USER, input="Please stream.", thread_id=thread_id, key=str(uuid.uuid4())
    )
    return await store.submit(request)


async def claim(
    store: JobStore, worker: str = WORKER, *, alive: Sequence[str] = (WORKER,), running: Sequence[str] = ()
) -> Job:
    """Claims a submitted job; there must be one. `alive` are the workers that use this store now."""
    job = await store.claim(worker, Eligibility(tasks=[TASK], alive=alive, user_slots=1, running=running))
    assert job is not None
    return job


async def write_job(store: SqliteStore, *, tokens: int, thread_id: str | None = None) -> Job:
    """Writes one answer with an event for each word, the most events that so many tokens can have."""
    await submit(store, thread_id)
    job = await claim(store)
    log = LogWriter(store, job, Transcript(), lost=lambda: None)
    await log.append([StepStarted(step=STEP, name="model", kind="model", attempt=1)])
    for first in range(0, tokens, GROUP):
        words = [word(index) for index in range(first, min(first + GROUP, tokens))]
        await log.append([TextDelta(step=STEP, text=one) for one in words])
    reply = ModelReply(text="".join(map(word, range(tokens))), input_tokens=1, output_tokens=tokens)
    usage = {"input_tokens": 1, "output_tokens": tokens}
    finished = StepFinished(step=STEP, seconds=1.0, output=reply.as_json())
    await log.append([finished, JobCompleted(result=None, usage=usage)])
    return await store.get(job.id)
