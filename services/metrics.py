"""Metrics of this process and of all jobs in Prometheus's text format; docs/metrics.md lists them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter as Counts
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Protocol, Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from background import cancel_and_wait, keep_running
from jobs import JobClient, JobStatus
from jobs.dispatch import Liveness
from jobs.errors import StoreUnavailable, reason_for_log
from jobs.store import EndedJob, JobStore
from jobs.tail import Figures
from services.supervisor import Supervisor

logger = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
KEPT_SECONDS = 5.0
"""The maximum age of the job counts: scrapes must not load the store, even if there are many."""
LOOK_BACK_SECONDS = 60.0
"""End times precede commits and may come from another clock, so each scrape rereads this window."""
MAX_BATCH = 500
MAX_ENDS = 5_000
"""Ended jobs that one scrape reads; the next scrape continues."""
LAG_EVERY_SECONDS = 1.0
MAX_TASK_LABELS = 100
OTHER = "other"
"""The label of all further tasks: the number of series stays bounded."""

JOB_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)
WAIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Stalls(Protocol):
    """How often this process's loop was blocked, and the longest time."""

    stalls: int
    longest_seconds: float


class TaskLabels:
    """Task names as labels: the first `MAX_TASK_LABELS` seen, and one label for all others."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, task: str) -> str:
        if len(self._known) < MAX_TASK_LABELS:
            self._known.add(task)
        return task if task in self._known else OTHER


class EndedJobs:
    """Returns each job that ends from now on, once."""

    def __init__(self, store: JobStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._begun = self._newest = clock()
        self._seen: dict[str, float] = {}

    async def new(self) -> AsyncIterator[EndedJob]:
        self._follow_clock()
        place = (self._looked_from(), "")
        given = 0
        while given < MAX_ENDS and (batch := await self._store.ended(place, MAX_BATCH)):
            place = batch[-1].cursor
            over = [job for job in batch if job.finished_at <= self._clock() + LOOK_BACK_SECONDS]
            for job in over:
                if job.id not in self._seen:
                    self._seen[job.id] = job.finished_at
                    given += 1
                    yield job
                self._newest = max(self._newest, job.finished_at)
            if len(over) < len(batch):
                break
        self._seen = {job_id: at for job_id, at in self._seen.items() if at >= self._looked_from()}

    def _follow_clock(self) -> None:
        """Start again with a clock that was set back: earlier ends seem to be in the future."""
        now = self._clock()
        if now < self._newest - LOOK_BACK_SECONDS:
            self._begun = self._newest = now

    def _looked_from(self) -> float:
        return max(self._begun, self._newest - LOOK_BACK_SECONDS)


class JobTimes:
    """The metrics of a job, recorded at its end."""

    def __init__(self, registry: CollectorRegistry, label: TaskLabels) -> None:
        def seconds(name: str, what: str, *labels: str, buckets: tuple[float, ...] = JOB_BUCKETS) -> Histogram:
            return Histogram(f"longhaul_{name}_seconds", what, ["task", *labels], registry=registry, buckets=buckets)

        self._label = label
        self._wait = seconds("job_queue_wait", "From submit to the first start.", buckets=WAIT_BUCKETS)
        self._first_text = seconds("job_first_text", "From submit to the first words.", buckets=WAIT_BUCKETS)
        self._duration = seconds("job_duration", "From the first start to the end.", "status")
        self._stop = seconds("job_stop", "From a cancel to the end of the work.", buckets=WAIT_BUCKETS)
        self._input = Counter("longhaul_input_tokens", "Tokens that models read.", ["task"], registry=registry)
        self._output = Counter("longhaul_output_tokens", "Tokens that models wrote.", ["task"], registry=registry)

    def observe(self, job: EndedJob) -> None:
        task = self._label(job.task)
        if job.started_at is not None:
            self._wait.labels(task).observe(_between(job.created_at, job.started_at))
            self._duration.labels(task, job.status.value).observe(_between(job.started_at, job.finished_at))
        if job.first_text_at is not None:
            self._first_text.labels(task).observe(_between(job.created_at, job.first_text_at))
        if job.cancelling_at is not None:
            self._stop.labels(task).observe(_between(job.cancelling_at, job.finished_at))
        if job.usage is not None:
            self._input.labels(task).inc(job.usage["input_tokens"])
            self._output.labels(task).inc(job.usage["output_tokens"])


class Now(Collector):
    """The metrics that are read at the time of a scrape."""

    def __init__(self, figures: Figures, supervisor: Supervisor, watchdog: Stalls, label: TaskLabels) -> None:
        self._figures = figures
        self._supervisor = supervisor
        self._watchdog = watchdog
        self._label = label
        self.store_up = False
        self.workers: Mapping[str, int] = {}
        """By the name of their machine."""
        self.queue_seconds = 0.0
        self.counts: Mapping[tuple[str, JobStatus], int] = {}

    def collect(self) -> Iterator[Metric]:
        figures, watchdog = self._figures, self._watchdog
        yield self._jobs()
        yield _gauge("store_up", "1: the store answered this scrape.", self.store_up)
        yield _gauge("workers", "Workers that are alive.", sum(self.workers.values()))
        yield self._machines()
        yield _gauge("queue_seconds", "Seconds that the oldest queued job has waited.", self.queue_seconds)
        yield _counter("worker_restarts", "Workers this process has started again.", self._supervisor.restarts)
        yield _gauge("followers", "Who follows a job through this process now.", figures.followers)
        yield _gauge("followed_jobs", "Jobs that are followed through this process now.", figures.jobs)
        yield _counter("follow_reads", "Reads of the store for all followers together.", figures.reads)
        yield _counter("replays", "Reads of the store for followers who came late or read slowly.", figures.replays)
        yield _counter("replayed_events", "Events of these reads.", figures.replayed_events)
        yield _counter("loop_stalls", "How often the event loop was blocked.", watchdog.stalls)
        yield _gauge("loop_longest_stall_seconds", "The longest of these.", watchdog.longest_seconds)

    def _machines(self) -> Metric:
        family = GaugeMetricFamily("longhaul_machine_workers", "Live workers, by host name.", labels=["machine"])
        for machine, workers in self.workers.items():
            family.add_metric([machine], workers)
        return family

    def _jobs(self) -> Metric:
        """Sets all statuses of each task, so that an empty one reads 0."""
        sums: dict[tuple[str, JobStatus], int] = {}
        for (task, status), count in self.counts.items():
            for each in JobStatus:
                key = self._label(task), each
                sums[key] = sums.get(key, 0) + (count if each is status else 0)
        family = GaugeMetricFamily("longhaul_jobs", "Jobs that are stored.", labels=["task", "status"])
        for (task, status), count in sums.items():
            family.add_metric([task, status.value], count)
        return family


class Metrics:
    """`async with Metrics(...) as metrics`; `await metrics.render()` is one scrape.

    Counts jobs that ended during this process's life, wherever they ran. `supervisor` and `watchdog` are those of this
    process.
    """

    def __init__(
        self,
        store: JobStore,
        jobs: JobClient,
        liveness: Liveness,
        supervisor: Supervisor,
        watchdog: Stalls,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # unneeded extra series
        label = TaskLabels()
        self._store = store
        self._liveness = liveness
        self._clock = clock
        self._registry = CollectorRegistry()
        self._now = Now(jobs.figures, supervisor, watchdog, label)
        self._registry.register(self._now)
        ProcessCollector(registry=self._registry)
        self._times = JobTimes(self._registry, label)
        self._ended = EndedJobs(store, clock)
        self._counted_at = -KEPT_SECONDS
        self._scraping = asyncio.Lock()
        catch_up = self._histogram("catch_up_seconds", "From a follower's beginning until it had all there was.")
        jobs.figures.caught_up = catch_up.observe
        self._lag = self._histogram("loop_lag_seconds", "How late the event loop woke, once a second.", LAG_BUCKETS)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...] = WAIT_BUCKETS) -> Histogram:
        return Histogram(f"longhaul_{name}", what, registry=self._registry, buckets=buckets)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(keep_running(self._look_at_lag, name="loop lag"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(self._task)

    async def render(self) -> bytes:
        """Returns the text. While the store is unreachable, `longhaul_store_up` is 0 and old values remain."""
        async with self._scraping:
            try:
                await self._look()
                self._now.store_up = True
            except StoreUnavailable as unavailable:
                fields = {"problem": reason_for_log(unavailable)}
                logger.warning("store not readable for a scrape", extra={"fields": fields})
                self._now.store_up = False
            return generate_latest(self._registry)

    async def _look(self) -> None:
        if time.monotonic() - self._counted_at >= KEPT_SECONDS:
            self._now.counts = await self._store.counts()
            self._now.queue_seconds = (await self._store.queue()).seconds(self._clock())
            self._counted_at = time.monotonic()
        self._now.workers = Counts(one.host for one in self._liveness.alive(await self._store.workers()))
        async for job in self._ended.new():
            self._times.observe(job)

    async def _look_at_lag(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + LAG_EVERY_SECONDS
        await asyncio.sleep(LAG_EVERY_SECONDS)
        self._lag.observe(max(0.0, loop.time() - due))


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"longhaul_{name}", what, value=value)


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(f"longhaul_{name}", what, value=value)


def _between(earlier: float, later: float) -> float:
    """Seconds; a clock that was set back must not make them negative."""
    return max(0.0, later - earlier)
