"""`map_table` against a bare `asyncio.gather` over the same client: rows per second, and their cost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, Measured, part
from benchmarks.parts import Bench, Options, Pair, Part
from benchmarks.usage import Meter
from files import DirectoryFileStore
from jobs import JobClient, JobRequest
from jobs.models import Job, JobStatus
from jobs.sqlite import SqliteStore
from jobs.wake import DatagramWake
from tests import processes
from tests.server import ROOT
from tests.waiting import until

USER = "bench"
LATENCY_SECONDS = 0.2
"""The time of each answer: one token, at a rate that takes this long."""
PROMPT = f"Row {{id}}: tokens=1 rate={1 / LATENCY_SECONDS:g}"
START_SECONDS = 60
SHORT_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work that both do."""

    rows: int = 10_000
    concurrency: int = 32

    @property
    def patience_seconds(self) -> float:
        return START_SECONDS + 20 * self.rows / self.concurrency * LATENCY_SECONDS

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.concurrency} at a time"


SPEED, CPU = "rows per second", "CPU per row"


def prepared(options: Options) -> Part:
    work = Work(rows=SHORT_ROWS if options.short else options.rows, concurrency=options.concurrency)
    return Part(
        name="rows",
        ours="map_table",
        peer="asyncio.gather",
        pairs=options.pairs,
        measure_pair=partial(measure_pair, work),
    )


async def measure_pair(work: Work, bench: Bench) -> Pair:
    bare = await measure_bare(work, bench.url)
    return await measure_job(work, bench.fresh(), bench.url), bare


async def measure_job(work: Work, folder: Path, url: str) -> Measured:
    """Measures a real job, from its start by a worker to its end, with its file."""
    data = folder / "data"
    marker = f"HOME={data}"  # tool hosts receive HOME, but no variable of Longhaul
    async with AsyncExitStack() as stack:
        wake = await stack.enter_async_context(DatagramWake(data / "wake"))
        store = await stack.enter_async_context(SqliteStore(data / "jobs.db", wake))
        client = await stack.enter_async_context(JobClient(store, wake))
        files = DirectoryFileStore(data / "files")
        stack.enter_context(worker(data, url))
        await _end(client, await _submit(client, files, Work(rows=work.concurrency, concurrency=work.concurrency)), 60)
        meter = Meter(marker)
        job = await _end(client, await _submit(client, files, work), work.patience_seconds)
        used = meter.used()
        assert job.started_at is not None
        assert job.finished_at is not None
        seconds = job.finished_at - job.started_at
    cpu = Figure(name=CPU, unit="ms", load=str(work))
    return {
        Figure(name=SPEED, unit="1/s", load=str(work)): work.rows / seconds,
        cpu: sum(used.values()) / work.rows * 1000,
        **{part(cpu, role): value / work.rows * 1000 for role, value in used.items() if role != "web"},
    }


async def measure_bare(work: Work, url: str) -> Measured:
    """Measures the same rows with `benchmarks/peers/bare_gather.py`."""
    command = [sys.executable, "-m", "benchmarks.peers.bare_gather", url, PROMPT, str(work.rows), str(work.concurrency)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    seconds, cpu = map(float, output.split())
    return {
        Figure(name=SPEED, unit="1/s", load=str(work)): work.rows / seconds,
        Figure(name=CPU, unit="ms", load=str(work)): cpu / work.rows * 1000,
    }


@contextmanager
def worker(data: Path, url: str) -> Iterator[None]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(data),
        "LANG": "C.UTF-8",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "bench-key",
        "LONGHAUL_MODEL": "bench-model",
        "LONGHAUL_DATA_DIR": str(data),
    }
    with subprocess.Popen([sys.executable, "worker.py"], cwd=ROOT, env=environment) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)
            processes.kill_all(f"HOME={data}")


async def _submit(client: JobClient, files: DirectoryFileStore, work: Work) -> Job:
    async def table() -> AsyncIterator[bytes]:
        yield b"id\n" + b"".join(b"%d\n" % row for row in range(work.rows))

    file = await files.save(name="rows.csv", mime="text/csv", owner=USER, source=table(), limit_bytes=10**8)
    arguments = {"table": file.id, "prompt": PROMPT, "concurrency": work.concurrency}
    return await client.submit(JobRequest(task="map_table", user=USER, arguments=arguments))


async def _end(client: JobClient, job: Job, within: float) -> Job:
    async def over() -> Job | None:
        seen = await client.get(job.id, USER)
        return seen if seen.ended else None

    ended = await until(over, within=within, what="the rows are done")
    assert ended is not None
    if ended.status is not JobStatus.COMPLETED:
        [*_, last] = [batch async for batch in client.log(job.id)]
        raise RuntimeError(f"the job ended as {ended.status}: {last[-1].data}")
    return ended
