"""Jobs through the HTTP API, from submit to end, beside LiteLLM's proxy where that has an equivalent.

Here the endpoint runs in this process: loads are tiny, and the measurement needs the times of requests and cuts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.api import completions
from benchmarks.apps import LEAST_SLOTS, App, Longhaul
from benchmarks.caller import Call, call, follow, submit
from benchmarks.endpoint import Connection, script
from benchmarks.figures import Figure, Measured
from benchmarks.parts import Bench, Options, Pair, Part
from benchmarks.peers import litellm
from benchmarks.peers.install import install
from benchmarks.peers.litellm import LiteLLM
from benchmarks.streaming import percentile
from benchmarks.usage import Meter
from tests import processes
from tests.server import FIXTURE_TOOLS
from tests.waiting import until

EVENT = re.compile(rb"^event: (\S+)\r?\n", re.MULTILINE)
TINY = script(tokens=1, rate=1000)
ENDLESS = script(tokens=20 * 600, rate=20)
AT_ONCE = 32
PATIENCE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How often each operation is measured."""

    submits: int = 100
    jobs: int = 200
    steps: int = 500
    stops: int = 10
    kills: int = 3


SHORT = Plan(submits=3, jobs=4, steps=5, stops=1, kills=0)


class Upstream:
    """The scripted endpoint, which records its connections."""

    def __init__(self) -> None:
        self.url = ""
        self._latest: object = None
        self._dropped_at: float | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Upstream]:
        server = await asyncio.get_running_loop().create_server(lambda: Watched(self), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()

    def asked(self, connection: object) -> None:
        self._latest, self._dropped_at = connection, None

    def lost(self, connection: object) -> None:
        if connection is self._latest:
            self._dropped_at = time.monotonic()

    async def dropped(self) -> float:
        """Returns when the connection of the last request was lost."""
        dropped_at = await until(self._when_dropped, within=PATIENCE_SECONDS, what="the endpoint's stream is closed")
        assert dropped_at is not None
        return dropped_at

    def _when_dropped(self) -> float | None:
        return self._dropped_at


class Watched(Connection):
    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self._upstream = upstream

    def data_received(self, data: bytes) -> None:
        self._upstream.asked(self)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the reason does not matter
        self._upstream.lost(self)


class StepTaking(Longhaul):
    """Longhaul with a tool that only takes steps."""

    def prepare(self) -> None:
        super().prepare()
        self._environment["LONGHAUL_TOOL_DIRS"] = str(FIXTURE_TOOLS)


def prepared(options: Options) -> Part:
    install(litellm.ENVIRONMENT)
    plan = SHORT if options.short else Plan()
    return Part(
        name="jobs",
        ours=Longhaul.name,
        peer=LiteLLM.name,
        pairs=options.pairs,
        measure_pair=partial(measure_pair, plan),
    )


async def measure_pair(plan: Plan, bench: Bench) -> Pair:
    """Measures Longhaul and the proxy, one after the other."""
    async with Upstream().open() as upstream:
        async with StepTaking(bench.folder / "ours", upstream.url, LEAST_SLOTS) as app:
            bench.ran_with.update(app.ran_with())
            ours = await measure_jobs(app, upstream, plan)
        async with LiteLLM(bench.folder / "peer", upstream.url, LEAST_SLOTS) as proxy:
            return ours, await measure_proxy(proxy, upstream, plan)


async def measure_jobs(app: App, upstream: Upstream, plan: Plan) -> Measured:
    """Measures one started Longhaul; the kills come last."""
    await _tiny_job(app.url)
    return (
        await _submits(plan, lambda: _timed_job(app.url))
        | await _many(app, plan, lambda: _tiny_job(app.url))
        | await _stops(plan, lambda: _stop_job(app.url, upstream))
        | await _steps(app, plan)
        | await _kills(app, plan)
    )


async def measure_proxy(app: App, upstream: Upstream, plan: Plan) -> Measured:
    """Measures the same of a proxy without jobs: a request is a job, its first event is the start, leaving is Stop."""
    await _tiny_request(app.url)
    return (
        await _submits(plan, lambda: _timed_request(app.url))
        | await _many(app, plan, lambda: _tiny_request(app.url))
        | await _stops(plan, lambda: _hang_up(app.url, upstream))
    )


# -- one at a time ----------------------------------------------------------------------------------------------

Times = tuple[float, float]
"""Seconds from submit to the request at the endpoint, and to the first event of the work."""


async def _submits(plan: Plan, once: Callable[[], Awaitable[Times]]) -> Measured:
    times = [await once() for _ in range(plan.submits)]
    asked, event = ([seconds * 1000 for seconds in column] for column in zip(*times, strict=True))
    return {
        Figure(name="submit to model request, p50", unit="ms"): percentile(asked, 50),
        Figure(name="submit to model request, p99", unit="ms"): percentile(asked, 99),
        Figure(name="submit to first event, p50", unit="ms"): percentile(event, 50),
        Figure(name="submit to first event, p99", unit="ms"): percentile(event, 99),
    }


async def _timed_job(url: str) -> Times:
    begun = time.monotonic()
    events = await follow(url, await submit(url, "chat", input=TINY))
    await _completed(events)
    return events.asked_at - begun, _behind_start(events) - begun


def _behind_start(events: Call) -> float:
    """Returns when the first event after `job.started` came."""
    read = b""
    for arrived, data in events.reads:
        read += data
        if EVENT.search(read.partition(b"event: job.started")[2]):
            return arrived
    raise RuntimeError("the job began without an event")


async def _timed_request(url: str) -> Times:
    streaming, begun = await completions(url, TINY)
    await streaming.end()
    first = next(arrived for arrived, data in streaming.reads if b"data: " in data)
    return streaming.asked_at - begun, first - begun


async def _stops(plan: Plan, once: Callable[[], Awaitable[float]]) -> Measured:
    times = [await once() * 1000 for _ in range(plan.stops)]
    return {Figure(name="stop to upstream closed, p50", unit="ms"): percentile(times, 50)}


async def _stop_job(url: str, upstream: Upstream) -> float:
    job = await submit(url, "chat", input=ENDLESS)
    events = await follow(url, job)
    await _streams(events)
    begun = time.monotonic()
    cancelling = await call(url, "POST", f"/api/jobs/{job}/cancel")
    dropped_at = await upstream.dropped()
    await cancelling.end()
    await events.end()
    return dropped_at - begun


async def _hang_up(url: str, upstream: Upstream) -> float:
    streaming, _ = await completions(url, ENDLESS)
    await _streams(streaming)
    begun = time.monotonic()
    streaming.leave()
    return await upstream.dropped() - begun


# -- many at once -----------------------------------------------------------------------------------------------


async def _many(app: App, plan: Plan, once: Callable[[], Awaitable[None]]) -> Measured:
    load = f"{plan.jobs} jobs, {AT_ONCE} at a time"
    slots = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with slots:
            await once()

    meter, begun = Meter(app.marker), time.monotonic()
    async with asyncio.timeout(PATIENCE_SECONDS + plan.jobs), asyncio.TaskGroup() as group:
        for _ in range(plan.jobs):
            group.create_task(one())
    seconds = time.monotonic() - begun
    return {
        Figure(name="jobs per second", unit="1/s", load=load): plan.jobs / seconds,
        Figure(name="CPU per job", unit="ms", load=load): sum(meter.used().values()) / plan.jobs * 1000,
    }


async def _tiny_job(url: str) -> None:
    await _completed(await follow(url, await submit(url, "chat", input=TINY)))


async def _tiny_request(url: str) -> None:
    await (await completions(url, TINY))[0].end()


# -- what the proxy does not have -------------------------------------------------------------------------------


async def _steps(app: App, plan: Plan) -> Measured:
    """Measures the steps of one job, one after the other, each with its events and its result on disk."""
    arguments = {"file": str(app.folder / "notes.txt"), "steps": plan.steps, "seconds": 0}
    job = await submit(app.url, "note_in_steps", arguments=arguments)
    await _completed(await follow(app.url, job))
    answer = await (await call(app.url, "GET", f"/api/jobs/{job}")).end()
    view = json.loads(answer.partition(b"\r\n\r\n")[2])
    rate = plan.steps / (view["finished_at"] - view["started_at"])
    return {Figure(name="steps per second", unit="1/s", load="one job"): rate}


async def _kills(app: App, plan: Plan) -> Measured:
    if not plan.kills:
        return {}
    event, word = zip(*[await _kill(app) for _ in range(plan.kills)], strict=True)
    return {
        Figure(name="kill -9 of the worker to next event, p50", unit="s"): percentile(list(event), 50),
        Figure(name="kill -9 of the worker to next word, p50", unit="s"): percentile(list(word), 50),
    }


async def _kill(app: App) -> tuple[float, float]:
    """Returns the seconds to the next event, and to the first word of the resumed answer."""
    job = await submit(app.url, "chat", input=ENDLESS)
    events = await follow(app.url, job)
    await _streams(events)
    killed = processes.marked(app.marker, "worker.py")
    begun = time.monotonic()
    for pid in killed:
        processes.send(pid, signal.SIGKILL)
    await asyncio.sleep(0.05)  # events stored before the kill are still on their way
    seen = len(events.reads)
    event, word = await _first(events, seen, b"event: "), await _first(events, seen, b"w0@")
    await (await call(app.url, "POST", f"/api/jobs/{job}/cancel")).end()
    await events.end()
    return event - begun, word - begun


async def _first(events: Call, seen: int, sign: bytes) -> float:
    """Returns when `sign` first comes after the reads that were `seen`."""

    def times() -> list[float]:
        return [at for at, data in events.reads[seen:] if sign in data]

    return (await until(times, within=PATIENCE_SECONDS, what="the job goes on"))[0]


async def _streams(streaming: Call) -> None:
    await until(lambda: len(streaming.delays) > 2, within=PATIENCE_SECONDS, what="the answer streams")


async def _completed(events: Call) -> None:
    last = EVENT.findall(await events.end())[-1]
    if last != b"job.completed":
        raise RuntimeError(f"the job ended with {last.decode()}")
