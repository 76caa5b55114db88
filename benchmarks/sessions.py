"""Browser sessions beside a plain Chainlit app: starts, idle costs, and the costs of streaming under each load."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.apps import App, Longhaul, slots_for
from benchmarks.figures import Figure, Measured
from benchmarks.parts import Bench, Options, Pair, Part, tell
from benchmarks.streaming import Load, first_message, measure, with_parts
from benchmarks.usage import Meter, memory


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The measurements of each start of an app."""

    loads: Sequence[Load]
    settle_seconds: float = 5
    """The pause between the start and the first message: people do not type at once."""
    idle_seconds: float = 10


SHORT = Plan(loads=[Load(sessions=2, rate=20, seconds=1)], settle_seconds=0.2, idle_seconds=1)


def prepared(options: Options) -> Part:
    loads = [Load(sessions=sessions, rate=rate, seconds=options.seconds) for sessions, rate in options.loads]
    plan = SHORT if options.short else Plan(loads=loads)
    return Part(
        name="sessions",
        ours=Longhaul.name,
        peer=App.name,
        pairs=options.pairs,
        measure_pair=partial(measure_pair, plan),
    )


async def measure_pair(plan: Plan, bench: Bench) -> Pair:
    slots = slots_for(load.sessions for load in plan.loads)
    apps = Longhaul(bench.folder / "ours", bench.url, slots), App(bench.folder / "peer", bench.url, slots)
    ours, peer = [await measure_app(app, plan, bench) for app in apps]
    return ours, peer


async def measure_app(app: App, plan: Plan, bench: Bench) -> Measured:
    """Starts an app once and takes all its measurements."""
    tell(f"{app.name}: start")
    async with app:
        measured = {
            Figure(name="start to page", unit="s"): app.page_seconds,
            Figure(name="start to worker ready", unit="s"): app.ready_seconds,
        }
        await asyncio.sleep(plan.settle_seconds)
        measured |= await first_message(app)  # this loads everything that is loaded after the start
        measured |= await _idle_cpu(app, plan.idle_seconds)
        idle = memory(app.marker)
        measured |= with_parts(Figure(name="memory", unit="MB"), idle)
        for load in plan.loads:
            tell(f"{app.name}: {load}")
            measured |= await measure(app, load, bench.conditions, sum(idle.values()))
        bench.ran_with.update(app.ran_with())
    app.check_log()
    return measured


async def _idle_cpu(app: App, seconds: float) -> Measured:
    meter = Meter(app.marker)
    await asyncio.sleep(seconds)
    share = {role: used / seconds * 100 for role, used in meter.used().items()}
    return with_parts(Figure(name="idle CPU", unit="% of a core"), share)
