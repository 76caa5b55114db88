"""kill -9 of real workers while they map a table, with a scripted endpoint as the model."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from files import DirectoryFileStore
from jobs import JobClient, JobRequest
from jobs.models import Job, JobStatus
from jobs.sqlite import SqliteStore
from jobs.wake import DatagramWake
from tests import processes
from tests.conftest import OURS, model_environment
from tests.endpoint import Endpoint
from tests.jobs.engine import fields
from tests.waiting import until

ROOT = Path(__file__).parents[2]
USER = "ada"
ROWS, CONCURRENCY = 1_000, 8
KILLS, THOROUGH_KILLS = 3, 10

NURSERY = """
import asyncio, os, signal, sys

import models.agents, models.upstream, langchain_openai  # what takes a worker seconds at its start
from services.worker import run_worker
from settings import Settings
from tests.jobs.engine import fields

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asyncio.run(run_worker(Settings.load(), supervised=False))
        os._exit(0)
    print(pid, flush=True)
"""
"""Each line on its stdin starts a worker, whose process id it answers."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(kw_only=True)
class Place:
    """One data directory, its queue, and workers that are started and killed at will."""

    data: Path
    client: JobClient
    files: DirectoryFileStore
    endpoint: Endpoint
    nursery: subprocess.Popen[str]

    async def start_worker(self) -> int:
        return await asyncio.to_thread(self._start_worker)

    def _start_worker(self) -> int:
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        self.nursery.stdin.write("\n")
        self.nursery.stdin.flush()
        return int(self.nursery.stdout.readline())

    async def upload(self, text: str) -> str:
        async def content() -> AsyncIterator[bytes]:
            yield text.encode()

        file = await self.files.save(
            name="reviews.csv", mime="text/csv", owner=USER, source=content(), limit_bytes=10**7
        )
        return file.id

    async def submit(self, **arguments: Any) -> Job:
        return await self.client.submit(JobRequest(task="map_table", user=USER, arguments=arguments))

    async def ended(self, job: Job, *, within: float) -> Job:
        async def now() -> Job | None:
            seen = await self.client.get(job.id, USER)
            return seen if seen.ended else None

        seen = await until(now, within=within, what="the job ends")
        assert seen is not None
        return seen

    async def result(self, job: Job) -> dict[str, Any]:
        [*_, last] = [batch async for batch in self.client.log(job.id)]
        result: dict[str, Any] = fields(last[-1])["result"]
        return result

    def table(self, job: Job) -> list[dict[str, str]]:
        text = self.files.artifact_path(job.root_id, "reviews-answers.csv").read_text()
        return list(csv.DictReader(io.StringIO(text)))

    async def has_asked(self, times: int) -> None:
        await until(lambda: len(self.asked()) >= times, within=60, what=f"{times} rows are asked")

    def asked(self) -> list[str]:
        return [request.script for request in self.endpoint.requests()]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as serving:
        yield serving


@pytest_asyncio.fixture(loop_scope="module")
async def place(endpoint: Endpoint, nursery: tuple[subprocess.Popen[str], Path]) -> AsyncIterator[Place]:
    process, data = nursery
    async with AsyncExitStack() as stack:
        wake = await stack.enter_async_context(DatagramWake(data / "wake"))
        store = await stack.enter_async_context(SqliteStore(data / "jobs.db", wake))
        client = await stack.enter_async_context(JobClient(store, wake))
        files = DirectoryFileStore(data / "files")
        yield Place(data=data, client=client, files=files, endpoint=endpoint, nursery=process)


@pytest.fixture(scope="module")
def nursery(
    endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    data = tmp_path_factory.mktemp("survives")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = {**inherited, **model_environment(endpoint), "LONGHAUL_DATA_DIR": str(data), "HOME": str(data)}
    command = [sys.executable, "-c", NURSERY]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, data
        finally:
            processes.kill_all(f"HOME={data}")


async def test_killed_workers_cost_no_row_and_double_none(place: Place, pytestconfig: pytest.Config) -> None:
    kills = THOROUGH_KILLS if pytestconfig.getoption("--thorough") else KILLS
    table = "id,word\n" + "".join(f"{number},n{number}x\n" for number in range(ROWS))
    chance = random.Random(11)
    worker = await place.start_worker()
    job = await place.submit(table=await place.upload(table), prompt="tokens=1 word={word}", concurrency=CONCURRENCY)
    for moment in sorted(chance.sample(range(ROWS * 9 // 10), kills)):
        await place.has_asked(max(moment, len(place.asked()) + 1))  # a worker that did nothing is not worth killing
        os.kill(worker, signal.SIGKILL)
        worker = await place.start_worker()

    ended = await place.ended(job, within=60)
    os.kill(worker, signal.SIGTERM)
    assert ended.status is JobStatus.COMPLETED
    assert ended.attempt == kills + 1
    rows = place.table(ended)
    assert [(row["id"], row["answer"]) for row in rows] == [(str(n), f"n{n}x0") for n in range(ROWS)]
    assert {row["status"] for row in rows} == {"done"}
    times = Counter(place.asked())
    assert len(times) == ROWS
    assert times.total() - ROWS <= kills * CONCURRENCY, "only rows under way may be asked twice"


async def test_a_larger_budget_goes_on_where_the_first_one_ended_and_failures_are_asked_anew(place: Place) -> None:
    moody, broken = "status=400 times=1", "status=400 times=2"
    extras = {3: moody, 5: broken}
    lines = "".join(f"{number},{extras.get(number, '')} word=m{number}x\n" for number in range(100))
    table = await place.upload(f"id,script\n{lines}")
    before = len(place.asked())
    worker = await place.start_worker()
    arguments = {"table": table, "prompt": "tokens=1 {script}", "retries": 1, "concurrency": 4}
    first = await place.ended(await place.submit(**arguments, max_tokens_total=1_000), within=60)
    assert first.status is JobStatus.INCOMPLETE
    result = await place.result(first)
    assert 0 < result["done"] < 60
    assert 1_000 <= result["tokens"] < 1_000 + 4 * 60
    assert result["first_failure"] == (
        "The model endpoint refused the request (status 400). Check that the model fits the task."
    )
    assert Counter(row["status"][:6] for row in place.table(first)) == {
        "done": result["done"],
        "failed": 1,
        "not as": 99 - result["done"],
    }

    retry = await place.client.retry(first.id, USER, {**arguments, "max_tokens_total": 1_000_000})
    second = await place.ended(retry, within=60)
    os.kill(worker, signal.SIGTERM)
    assert second.status is JobStatus.COMPLETED
    assert (await place.result(second))["done"] == 100
    assert [row["answer"] for row in place.table(second)] == [f"m{number}x0" for number in range(100)]
    assert len(place.asked()) - before == 100 + 1 + 2, "all once, the moody row twice, the broken one three times"
