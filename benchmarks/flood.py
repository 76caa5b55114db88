"""A neighbour of an endpoint that floods: what its submits take, and what the worker needs, beside the same server in
peace."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.apps import LEAST_SLOTS, Longhaul
from benchmarks.caller import call, submit
from benchmarks.figures import Figure, Measured
from benchmarks.parts import Bench, Options, Pair, Part
from benchmarks.streaming import percentile
from tests import processes
from tests.endpoint import Endpoint, Request, script
from tests.waiting import until

WARM_SECONDS = 4.0
PAUSE_SECONDS = 0.02
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    submits: int = 200
    megabytes: int = 200
    """What each flood would send, as fast as it is read."""
    floods: int = 1
    """So many go on all the time."""
    stops: int = 10


SHORT = Plan(submits=5, megabytes=5, floods=1, stops=1)


def prepared(options: Options) -> Part:
    plan = SHORT if options.short else Plan()
    return Part(
        name="flood", ours="beside floods", peer="in peace", pairs=options.pairs, measure_pair=partial(measure, plan)
    )


async def measure(plan: Plan, bench: Bench) -> Pair:
    """Each on a server of its own, as memory is counted at its highest."""
    flooded = await _measure(plan, bench.fresh(), floods=plan.floods)
    return flooded, await _measure(plan, bench.fresh(), floods=0)


async def _measure(plan: Plan, folder: Path, *, floods: int) -> Measured:
    with Endpoint() as endpoint:
        async with Longhaul(folder, endpoint.url, LEAST_SLOTS) as app:
            await submit(app.url, "chat", input=script(tokens=3))
            await asyncio.sleep(WARM_SECONDS)  # the worker's last imports
            flooding = [asyncio.create_task(_flood(app.url, plan.megabytes)) for _ in range(floods)]
            taken = []
            for _ in range(plan.submits):
                begun = time.perf_counter()
                await submit(app.url, "chat", input=script(tokens=3))
                taken.append((time.perf_counter() - begun) * 1000)
                await asyncio.sleep(PAUSE_SECONDS)
            for task in flooding:
                task.cancel()
            await asyncio.gather(*flooding, return_exceptions=True)
            [worker] = processes.marked(app.marker, "worker.py")
            found = {
                Figure(name="submit, p50", unit="ms"): percentile(taken, 50),
                Figure(name="submit, p99", unit="ms"): percentile(taken, 99),
                Figure(name="worker's memory at its highest", unit="MB"): _highest_memory(worker),
            }
            if floods:
                stops = [await _stop(app.url, endpoint, plan.megabytes) for _ in range(plan.stops)]
                found[Figure(name="cancel to closed endpoint, p99", unit="ms")] = percentile(stops, 99)
            return found


async def _flood(url: str, megabytes: int) -> None:
    """One flood after the other; each ends when its answer is too long."""
    while True:
        job = await submit(url, "chat", input=script(flood=megabytes))
        await (await call(url, "GET", f"/api/jobs/{job}/events")).end()


async def _stop(url: str, endpoint: Endpoint, megabytes: int) -> float:
    """Returns the milliseconds from the cancel of a flood until its connection is closed."""
    question = script(flood=megabytes)
    job = await submit(url, "chat", input=question)

    def begun() -> Request | None:
        return next((one for one in endpoint.requests(question) if one.tokens_sent), None)

    request = await until(begun, within=PATIENCE_SECONDS, what="the flood has begun")
    assert request is not None
    cancelled_at = time.monotonic()
    await (await call(url, "POST", f"/api/jobs/{job}/cancel")).end()
    closed = await until(
        lambda: request.disconnected_at or request.finished_at, within=PATIENCE_SECONDS, what="the flood is closed"
    )
    return max(0.0, (closed or cancelled_at) - cancelled_at) * 1000


def _highest_memory(process_id: int) -> float:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))
