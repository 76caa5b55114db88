"""The command: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import api, catching_up, growth, jobs, machine, mapping
from benchmarks.apps import App, Longhaul, Production
from benchmarks.figures import Figure, Measured, rows, table
from benchmarks.peers import litellm
from benchmarks.streaming import Conditions, Load, first_message, measure, with_parts
from benchmarks.usage import Meter, memory
from tests.server import ROOT

LEAST_SLOTS = 50
"""The default of LONGHAUL_WORKER_SLOTS: raised only for more sessions than that."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure, and how often."""

    loads: list[Load]
    settle_seconds: float
    """After the start, before the first message: people do not type at once."""

    idle_seconds: float
    pairs: int


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure Longhaul beside a plain Chainlit app.")
    parser.add_argument("--sessions", default="1,20,50", help="numbers of browser sessions, e.g. 1,20,50")
    parser.add_argument("--seconds", type=float, default=10, help="how long each answer streams")
    parser.add_argument("--rate", type=float, default=20, help="tokens per second of each answer")
    parser.add_argument("--pairs", type=int, default=3, help="how often each app is started and measured")
    parser.add_argument("--short", action="store_true", help="one pair, 2 sessions, 1 s: shows that it works, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save all that was measured")
    parser.add_argument("--api", action="store_true", help="measure the API's streams beside LiteLLM's proxy instead")
    parser.add_argument("--streams", default="1,50,200", help="… so many at a time; each number is a load of its own")
    parser.add_argument("--production", action="store_true", help="… of `uvicorn asgi:app` instead of `chainlit run`")
    parser.add_argument("--jobs", action="store_true", help="measure jobs of the API, submit to Stop, instead")
    parser.add_argument("--catch-up", action="store_true", help="measure reading finished jobs from 0 instead")
    parser.add_argument("--growth", action="store_true", help="measure a store that has grown beside a new one instead")
    parser.add_argument("--mapping", action="store_true", help="measure map_table beside asyncio.gather instead")
    parser.add_argument("--rows", type=int, default=10_000, help="… over a table of so many rows")
    parser.add_argument("--concurrency", type=int, default=32, help="… so many at a time")
    return parser.parse_args()


def plan(options: argparse.Namespace) -> Plan:
    if options.short:
        load = Load(sessions=2, rate=options.rate, seconds=1)
        return Plan(loads=[load], settle_seconds=0.2, idle_seconds=1, pairs=1)
    sizes = [int(size) for size in options.sessions.split(",")]
    loads = [Load(sessions=size, rate=options.rate, seconds=options.seconds) for size in sizes]
    return Plan(loads=loads, settle_seconds=5, idle_seconds=10, pairs=options.pairs)


async def measure_app(app: App, plan: Plan, conditions: Conditions) -> Measured:
    """One start of one app, and everything that is measured of it."""
    tell(f"{app.name}: start")
    async with app:
        measured = {
            Figure(name="start to page", unit="s"): app.page_seconds,
            Figure(name="start to worker ready", unit="s"): app.ready_seconds,
        }
        await asyncio.sleep(plan.settle_seconds)
        measured |= await first_message(app)  # whatever is loaded behind the start has been loaded after it
        meter = Meter(app.marker)
        await asyncio.sleep(plan.idle_seconds)
        share = {role: used / plan.idle_seconds * 100 for role, used in meter.used().items()}
        measured |= with_parts(Figure(name="idle CPU", unit="% of a core"), share)
        measured |= with_parts(Figure(name="memory", unit="MB"), memory(app.marker))
        for load in plan.loads:
            tell(f"{app.name}: {load}")
            measured |= await measure(app, load, conditions)
    app.check_log()
    return measured


@contextlib.contextmanager
def endpoint() -> Iterator[tuple[int, str]]:
    """Its process id and address."""
    command = [sys.executable, "-m", "benchmarks.endpoint"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


async def run(plan: Plan) -> dict[str, object]:
    """Longhaul, the peer, Longhaul, the peer …: never two at a time. Prints the table, gives all that was measured."""
    slots = max(LEAST_SLOTS, *(load.sessions for load in plan.loads))
    report: dict[str, object] = {"machine": machine.describe(), "load_average_before": machine.load_average()}
    pairs: list[tuple[Measured, Measured]] = []
    with tempfile.TemporaryDirectory(prefix="longhaul-bench-") as place, endpoint() as (pid, url):
        conditions = Conditions(pid)
        for number in range(plan.pairs):
            tell(f"pair {number + 1} of {plan.pairs}")
            apps = (Longhaul(Path(place, "ours"), url, slots), App(Path(place, "peer"), url, slots))
            ours, peer = [await measure_app(app, plan, conditions) for app in apps]
            pairs.append((ours, peer))
    compared = rows(pairs)
    print(table(compared, Longhaul.name, App.name))
    report |= {"pairs": plan.pairs, "conditions": conditions.as_json(), "rows": [row.as_json() for row in compared]}
    return report


async def run_mapping(options: argparse.Namespace) -> dict[str, object]:
    """The bare loop, the job, the bare loop, the job …"""
    work = mapping.Work(rows=200 if options.short else options.rows, concurrency=options.concurrency)
    pairs = 1 if options.short else options.pairs
    report: dict[str, object] = {"machine": machine.describe(), "load_average_before": machine.load_average()}
    measured: list[tuple[Measured, Measured]] = []
    with tempfile.TemporaryDirectory(prefix="longhaul-bench-") as place, endpoint() as (_, url):
        for number in range(pairs):
            tell(f"pair {number + 1} of {pairs}: {work}")
            bare = await mapping.measure_bare(work, url)
            measured.append((await mapping.measure_job(work, Path(place, str(number)), url), bare))
    compared = rows(measured)
    print(table(compared, "map_table", "asyncio.gather"))
    return report | {"pairs": pairs, "rows": [row.as_json() for row in compared]}


async def run_api(options: argparse.Namespace) -> dict[str, object]:
    """The endpoint alone, Longhaul, LiteLLM, the endpoint alone, Longhaul, LiteLLM …"""
    litellm.install()
    sizes = [2] if options.short else [int(size) for size in options.streams.split(",")]
    seconds = 1 if options.short else options.seconds
    loads = [Load(sessions=size, rate=options.rate, seconds=seconds) for size in sizes]
    slots = max(LEAST_SLOTS, *sizes)
    entry = Production if options.production else Longhaul
    report: dict[str, object] = {"machine": machine.describe(), "load_average_before": machine.load_average()}
    pairs: list[tuple[Measured, Measured]] = []
    with tempfile.TemporaryDirectory(prefix="longhaul-bench-") as place, endpoint() as (pid, url):
        conditions = Conditions(pid)
        for number in range(1 if options.short else options.pairs):
            tell(f"pair {number + 1}")
            direct = [await api.measure_direct(url, load) for load in loads]
            apps = entry(Path(place, "ours"), url, slots), litellm.LiteLLM(Path(place, "peer"), url, slots)
            ours, peer = [await api.measure_app(app, list(zip(loads, direct, strict=True)), conditions) for app in apps]
            pairs.append((ours, peer))
    compared = rows(pairs)
    print(table(compared, entry.name, litellm.LiteLLM.name))
    return report | {
        "pairs": len(pairs),
        "conditions": conditions.as_json(),
        "rows": [row.as_json() for row in compared],
    }


async def run_jobs(options: argparse.Namespace) -> dict[str, object]:
    """Longhaul, LiteLLM, Longhaul, LiteLLM …"""
    litellm.install()
    wanted = jobs.SHORT if options.short else jobs.Plan()
    report: dict[str, object] = {"machine": machine.describe(), "load_average_before": machine.load_average()}
    pairs: list[tuple[Measured, Measured]] = []
    with tempfile.TemporaryDirectory(prefix="longhaul-bench-") as place:
        for number in range(1 if options.short else options.pairs):
            tell(f"pair {number + 1}")
            pairs.append(await jobs.measure_pair(Path(place), LEAST_SLOTS, wanted))
    compared = rows(pairs)
    print(table(compared, Longhaul.name, litellm.LiteLLM.name))
    return report | {"pairs": len(pairs), "rows": [row.as_json() for row in compared]}


async def run_catch_up(options: argparse.Namespace) -> dict[str, object]:
    """Longhaul, and a bare SELECT of the same rows, on a store of their own each time."""
    wanted = catching_up.SHORT if options.short else catching_up.Plan()
    report: dict[str, object] = {"machine": machine.describe(), "load_average_before": machine.load_average()}
    pairs: list[tuple[Measured, Measured]] = []
    with tempfile.TemporaryDirectory(prefix="longhaul-bench-") as place, endpoint() as (_, url):
        for number in range(1 if options.short else options.pairs):
            tell(f"pair {number + 1}")
            pairs.append(await catching_up.measure(Path(place, str(number)), url, LEAST_SLOTS, wanted))
    compared = rows(pairs)
    print(table(compared, Longhaul.name, "bare SELECT"))
    return report | {"pairs": len(pairs), "rows": [row.as_json() for row in compared]}


async def run_growth(options: argparse.Namespace) -> dict[str, object]:
    """One store, when it is new and when it has grown."""
    wanted = growth.SHORT if options.short else growth.Plan()
    report: dict[str, object] = {"machine": machine.describe(), "load_average_before": machine.load_average()}
    with tempfile.TemporaryDirectory(prefix="longhaul-bench-") as place:
        compared = rows([await growth.measure(Path(place), wanted, tell)])
    print(table(compared, f"{wanted.rows:,} rows", "new"))
    return report | {"pairs": 1, "rows": [row.as_json() for row in compared]}


def tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def chosen(options: argparse.Namespace) -> Coroutine[None, None, dict[str, object]]:
    if options.api:
        return run_api(options)
    if options.jobs:
        return run_jobs(options)
    if options.catch_up:
        return run_catch_up(options)
    if options.growth:
        return run_growth(options)
    return run_mapping(options) if options.mapping else run(plan(options))


def main() -> None:
    wanted = options()
    report = asyncio.run(chosen(wanted))
    for name in ("machine", "load_average_before", "conditions"):
        if name in report:
            print(f"{name}: {json.dumps(report[name])}")
    if wanted.json is not None:
        wanted.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
