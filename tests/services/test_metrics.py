"""What /metrics says: of jobs that end, of followers that come and go, and that the docs list it all."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs import JobRequest, JobStatus
from jobs.events import JobCancelled, JobCancelling, JobCompleted, JobFailedEvent, Payload, TextDelta
from jobs.local import LocalLiveness
from services import metrics as module
from services.metrics import MAX_TASK_LABELS, OTHER, Metrics, TaskLabels
from services.supervisor import Supervisor
from tests.conftest import StartServer
from tests.endpoint import Endpoint
from tests.jobs.engine import Engine, chat, claim, sqlite_engine, write
from tests.server import ROOT, Server
from tests.waiting import until
from toolkit.watchdog import LoopWatchdog

SOON = 30.0
YEAR = 365 * 86_400.0
DONE = JobCompleted(result="hi", usage={"input_tokens": 3, "output_tokens": 5})
FAILED = JobFailedEvent(error={"code": "model_unreachable", "message": "Try again."})


class Page:
    """One scrape, parsed."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self._values[f"longhaul_{name}", frozenset(labels.items())]

    def has(self, name: str, **labels: str) -> bool:
        return (f"longhaul_{name}", frozenset(labels.items())) in self._values


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An engine and the figures of the process that it is in."""

    engine: Engine
    metrics: Metrics

    async def scrape(self) -> Page:
        return Page((await self.metrics.render()).decode())

    async def run(self, *payloads: Payload, seconds: float = 1, **fields: object) -> str:
        """A job that waits, and then ends, that many seconds later."""
        store, clock = self.engine.store, self.engine.clock
        job = await store.submit(chat(**fields))  # type: ignore[arg-type]
        clock.now += seconds
        claimed = await claim(store, "w1", tasks=(job.request.task,))
        assert claimed is not None
        clock.now += seconds
        await write(store, job.id, *payloads, epoch=claimed.epoch)
        return job.id


@contextlib.asynccontextmanager
async def measuring(engine: Engine) -> AsyncIterator[Measured]:
    liveness = LocalLiveness(engine.directory / "workers", ttl_seconds=10)
    supervisor = Supervisor(engine.store, liveness, processes=0, drain_seconds=1)
    async with (
        LoopWatchdog("test") as watchdog,
        Metrics(engine.store, engine.client, liveness, supervisor, watchdog, clock=engine.clock) as metrics,
    ):
        yield Measured(engine=engine, metrics=metrics)


@pytest.fixture
async def measured(tmp_path: Path) -> AsyncIterator[Measured]:
    async with sqlite_engine(tmp_path) as engine, measuring(engine) as one:
        yield one


async def test_the_docs_list_what_the_page_shows_and_nothing_else(measured: Measured) -> None:
    await measured.run(TextDelta(step="model:1", text="hi"), DONE)
    await measured.run(JobCancelling(by="ada"), JobCancelled(stopped=[]))
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", page, re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    shown = {}
    async with measured.engine.dispatcher():
        families = (await measured.scrape()).families
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        shown[name] = (family.type, labels)
    assert documented == shown


async def test_jobs_are_counted_with_zeros_for_what_there_is_none_of(measured: Measured) -> None:
    await measured.run(DONE)
    await measured.engine.store.submit(chat())
    page = await measured.scrape()
    counts = {status: page.value("jobs", task="chat", status=status.value) for status in JobStatus}
    assert counts == {status: float(status in {JobStatus.COMPLETED, JobStatus.QUEUED}) for status in JobStatus}


async def test_a_job_that_ends_is_timed_by_its_log(measured: Measured) -> None:
    await measured.run(TextDelta(step="model:1", text="hi"), DONE, seconds=4)
    page = await measured.scrape()
    assert page.value("job_queue_wait_seconds_sum", task="chat") == 4
    assert page.value("job_first_text_seconds_sum", task="chat") == 8
    assert page.value("job_duration_seconds_sum", task="chat", status="completed") == 4
    assert page.value("input_tokens_total", task="chat") == 3
    assert page.value("output_tokens_total", task="chat") == 5
    assert not page.has("job_stop_seconds_sum", task="chat")


async def test_the_time_to_stop_begins_when_the_cancel_is_obeyed(measured: Measured) -> None:
    store, clock = measured.engine.store, measured.engine.clock
    job = await store.submit(chat())
    await claim(store, "w1")
    clock.now += 2
    await write(store, job.id, JobCancelling(by="ada"))
    clock.now += 3
    await write(store, job.id, JobCancelled(stopped=[]))
    page = await measured.scrape()
    assert page.value("job_stop_seconds_sum", task="chat") == 3
    assert page.value("job_duration_seconds_count", task="chat", status="cancelled") == 1


async def test_a_job_is_measured_once_however_often_somebody_looks(measured: Measured) -> None:
    for _ in range(3):
        await measured.run(DONE)
        await measured.scrape()
        page = await measured.scrape()
    assert page.value("job_queue_wait_seconds_count", task="chat") == 3


async def test_what_ended_before_the_process_began_is_not_measured(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:
        async with measuring(engine) as before:
            await before.run(DONE)
            engine.clock.now += 1
        async with measuring(engine) as now:
            page = await now.scrape()
    assert not page.has("job_queue_wait_seconds_count", task="chat")
    assert page.value("jobs", task="chat", status="completed") == 1


async def test_an_end_that_is_committed_after_later_ones_is_measured_too(measured: Measured) -> None:
    store, clock = measured.engine.store, measured.engine.clock
    late = await store.submit(chat())
    await claim(store, "w1")
    await measured.run(DONE, seconds=5)
    await measured.scrape()
    clock.now -= 9
    await write(store, late.id, DONE)
    clock.now += 9
    assert (await measured.scrape()).value("job_duration_seconds_count", task="chat", status="completed") == 2


async def test_a_scrape_goes_on_where_the_bound_of_the_last_one_was(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    monkeypatch.setattr(module, "MAX_ENDS", 4)
    for _ in range(9):
        await measured.run(DONE)
    measures = [(await measured.scrape()).value("job_queue_wait_seconds_count", task="chat") for _ in range(4)]
    assert measures == [4, 8, 9, 9]


async def test_scraping_counts_the_jobs_once_in_a_while(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    counts = measured.engine.store.counts

    async def counting() -> Mapping[tuple[str, JobStatus], int]:
        nonlocal counted
        counted += 1
        return await counts()

    monkeypatch.setattr(measured.engine.store, "counts", counting)
    await asyncio.gather(*(measured.scrape() for _ in range(20)))
    assert counted == 1


def test_tasks_without_end_make_no_series_without_end() -> None:
    label = TaskLabels()
    labels = [label(f"task {number}") for number in range(2 * MAX_TASK_LABELS)]
    assert len(set(labels)) == MAX_TASK_LABELS + 1
    assert label("task 0") == "task 0"
    assert label("task never seen") == OTHER


async def test_while_the_store_is_out_of_reach_the_page_says_so(measured: Measured) -> None:
    await measured.run(DONE)
    assert (await measured.scrape()).value("store_up") == 1
    with contextlib.closing(sqlite3.connect(measured.engine.directory / "jobs.db")) as breaking:
        breaking.execute("ALTER TABLE workers RENAME TO gone")
    page = await measured.scrape()
    assert page.value("store_up") == 0
    assert page.value("job_queue_wait_seconds_count", task="chat") == 1


async def test_a_follower_is_counted_while_it_follows(measured: Measured) -> None:
    job = await measured.engine.client.submit(chat())
    async with contextlib.aclosing(measured.engine.client.follow(job.id, "ada")) as following:
        assert [event.type for event in await anext(following)] == ["job.queued"]
        page = await measured.scrape()
        assert (page.value("followers"), page.value("followed_jobs")) == (1, 1)
        assert (page.value("replays_total"), page.value("replayed_events_total")) == (1, 1)
        assert page.value("catch_up_seconds_count") == 0
    page = await measured.scrape()
    assert (page.value("followers"), page.value("followed_jobs")) == (0, 0)


async def test_a_follower_has_caught_up_once(measured: Measured) -> None:
    job_id = await measured.run(TextDelta(step="model:1", text="hi"), DONE)
    await measured.engine.log(job_id)
    waiting = await measured.engine.client.submit(chat())
    following = asyncio.create_task(measured.engine.log(waiting.id))
    await until(lambda: caught_up(measured, 2), within=SOON, what="it waits for more")
    await claim(measured.engine.store, "w1")
    await write(measured.engine.store, waiting.id, DONE)
    await following
    assert await caught_up(measured, 2)


async def caught_up(measured: Measured, count: int) -> bool:
    return (await measured.scrape()).value("catch_up_seconds_count") == count


async def test_500_followers_cost_the_reads_of_one(measured: Measured) -> None:
    store = measured.engine.store
    job = await measured.engine.client.submit(chat())
    await claim(store, "w1")
    followers = [asyncio.create_task(measured.engine.log(job.id)) for _ in range(500)]
    await until(lambda: caught_up(measured, 500), within=SOON, what="all wait for more")
    before = await measured.scrape()
    for number in range(20):
        await write(store, job.id, TextDelta(step="model:1", text=f"{number}"))
    await write(store, job.id, DONE)
    async with asyncio.timeout(SOON):
        logs = await asyncio.gather(*followers)
    after = await measured.scrape()
    assert {len(log) for log in logs} == {23}
    assert after.value("replays_total") == before.value("replays_total")
    wakes, safety_polls = 21, 5
    assert after.value("follow_reads_total") - before.value("follow_reads_total") <= 2 * (wakes + safety_polls)


async def test_the_lag_of_the_loop_is_looked_at(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    async def looked() -> bool:
        return (await measured.scrape()).value("loop_lag_seconds_count") > 0

    await until(looked, within=SOON, what="a look at the lag")


async def page_of(server: Server) -> Page:
    return Page((await server.get("/metrics")).text)


async def nobody_follows(server: Server) -> bool:
    return (await page_of(server)).value("followers") == 0


async def test_a_server_shows_a_chat_that_ended_one_that_failed_and_one_that_was_stopped(
    start_server: StartServer, endpoint: Endpoint
) -> None:
    server = await start_server()

    def ask(text: str) -> JobRequest:
        return JobRequest(task="chat", user="local", input=text)

    async with server.jobs() as jobs:
        done, failed, stopped = [
            await jobs.submit(ask(text)) for text in ("tokens=5", "status=400", "tokens=90 rate=20 hold=40")
        ]
        async with asyncio.timeout(SOON):
            for job in (done, failed):
                async for _ in jobs.follow(job.id, "local"):
                    pass
            async with httpx.AsyncClient(base_url=server.url) as http:
                async with http.stream("GET", f"/api/jobs/{stopped.id}/events") as stream:
                    lines = stream.aiter_lines()
                    while "text.delta" not in await anext(lines):
                        pass
                    assert (await page_of(server)).value("followers") == 1
                await until(lambda: nobody_follows(server), within=SOON, what="the follower that left is not counted")
            await jobs.cancel(stopped.id, "local")
            async for _ in jobs.follow(stopped.id, "local"):
                pass
    answer = await server.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    figures = Page(answer.text)
    for status in ("completed", "failed", "cancelled"):
        assert figures.value("job_duration_seconds_count", task="chat", status=status) == 1
    assert figures.value("job_first_text_seconds_count", task="chat") == 2
    assert figures.value("job_stop_seconds_count", task="chat") == 1
    assert figures.value("output_tokens_total", task="chat") > 0
    assert (figures.value("workers"), figures.value("store_up")) == (1, 1)
    assert "local" not in answer.text


@pytest.mark.parametrize("jump", [YEAR, -YEAR], ids=["forwards", "back"])
async def test_each_end_is_measured_once_although_the_clock_jumps_by_a_year(measured: Measured, jump: float) -> None:
    await measured.run(DONE)
    await measured.scrape()
    for ahead in (jump, -jump):
        measured.engine.clock.now += ahead
        await measured.scrape()
        await measured.run(DONE)
        await measured.scrape()
    page = await measured.scrape()
    assert page.value("job_duration_seconds_count", task="chat", status="completed") == 3
