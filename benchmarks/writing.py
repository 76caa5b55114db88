"""One worker's writes, without a model: `python -m benchmarks.writing NUMBER OF JOBS SECONDS`, on the store that the
environment names.

It claims submitted jobs, says so in a line, waits for a line, and then adds a word to each job every 30 ms, which is
how a worker writes what its models stream.
"""

from __future__ import annotations

import asyncio
import os
import sys

from benchmarks.endpoint import now_ticks
from benchmarks.stored import STEP, claim
from jobs import Job
from jobs.deltas import TICK_SECONDS
from jobs.events import JobCompleted, StepStarted, TextDelta
from jobs.store import JobStore
from jobs.transcript import Transcript
from jobs.writer import LogWriter
from services.backend import open_backend
from settings import Settings


async def write(store: JobStore, held: list[Job], words: int) -> None:
    """Adds the words to each job and ends it. Late ticks are not made up for."""
    logs = [LogWriter(store, job, Transcript(), lost=lambda: None) for job in held]
    started = StepStarted(step=STEP, name="model", kind="model", attempt=1)
    await asyncio.gather(*(log.append([started]) for log in logs))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for index in range(words):
        await asyncio.sleep(begun + index * TICK_SECONDS - loop.time())
        word = TextDelta(step=STEP, text=f"w{index}@{now_ticks():.0f} ")
        await asyncio.gather(*(log.append([word]) for log in logs))
    await asyncio.gather(*(log.append([JobCompleted(result=None, usage=None)]) for log in logs))


async def main(worker: str, alive: list[str], jobs: int, seconds: float) -> None:
    async with open_backend(Settings.load()) as backend:
        held: list[Job] = []
        for _ in range(jobs):
            held.append(await claim(backend.store, worker, alive=alive, running=[job.id for job in held]))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await write(backend.store, held, round(seconds / TICK_SECONDS))
        await asyncio.to_thread(sys.stdin.readline)  # its connections' processor time can be read while they are open


if __name__ == "__main__":
    number, of, jobs, seconds = sys.argv[1:]
    workers = [f"bench-{one}" for one in range(int(of))]
    asyncio.run(main(workers[int(number)], workers, int(jobs), float(seconds)))
    os._exit(0)
