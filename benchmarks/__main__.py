"""The command: `python -m benchmarks [NAME ...]`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import api, catching_up, cluster, flood, growth, jobs, machine, mapping, responses, sessions
from benchmarks.apps import Longhaul
from benchmarks.parts import Options, Part, measured
from benchmarks.report import Report
from tests.postgres import temporary_postgres

PARTS: dict[str, Callable[[Options], Part]] = {
    "sessions": sessions.prepared,
    "api": api.prepared,
    "jobs": jobs.prepared,
    "responses": responses.prepared,
    "rows": mapping.prepared,
    "catch-up": catching_up.prepared,
    "growth": growth.prepared,
    "flood": flood.prepared,
    "cluster": cluster.prepared,
}
"""The parts, in the order in which they are measured."""
LOADS = "1x20,20x20,50x20,100x20,200x20,20x100"


def known(name: str) -> str:
    if name not in PARTS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PARTS)}")
    return name


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def loads(text: str) -> tuple[tuple[int, float], ...]:
    """Reads `50x20,20x100`: numbers of sessions, and the tokens per second of each."""
    matches = [re.fullmatch(r"(\d+)x([\d.]+)", load) for load in text.split(",")]
    return tuple((int(match[1]), float(match[2])) if match else _no_load(text) for match in matches)


def _no_load(text: str) -> tuple[int, float]:
    raise argparse.ArgumentTypeError(f"{text!r} is not a list of sessions × tokens per second, such as 50x20,20x100")


def options() -> Options:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure Longhaul beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", type=known, help=f"of {', '.join(PARTS)}; none: all")
    parser.add_argument("--pairs", type=int, default=2, help="how often Longhaul and the peer are measured in turn")
    parser.add_argument("--seconds", type=float, default=10, help="how long each answer streams")
    parser.add_argument("--short", action="store_true", help="one pair, tiny loads: shows that it works, no more")
    parser.add_argument("--json", type=Path, metavar="DIR", help="save all that was measured, a file for each name")
    parser.add_argument("--loads", type=loads, default=LOADS, help="sessions: number × tokens per second of each load")
    parser.add_argument("--streams", type=numbers, default="1,50,200", help="api: so many at a time, a load each")
    parser.add_argument("--production", action="store_true", help="api: `uvicorn asgi:app` instead of `chainlit run`")
    parser.add_argument("--postgres", action="store_true", help="Longhaul on a private PostgreSQL instead of SQLite")
    parser.add_argument("--rows", type=int, default=10_000, help="rows: of the table")
    parser.add_argument("--concurrency", type=int, default=32, help="rows: so many at a time")
    told = parser.parse_args(namespace=Options())
    told.pairs = 1 if told.short else told.pairs
    return told


def show(report: Report) -> None:
    print(report.table())
    for name, fact in report.facts().items():
        print(f"{name}: {json.dumps(fact)}")
    print(flush=True)


def main() -> None:
    told = options()
    # All parts first, so that missing requirements are reported before anything is measured.
    parts = [prepare(told) for name, prepare in PARTS.items() if name in (told.names or PARTS)]
    with contextlib.ExitStack() as stack:
        if told.postgres:
            Longhaul.database_url = stack.enter_context(temporary_postgres()).url
        measure_all(parts, told.json)


def measure_all(parts: Sequence[Part], folder: Path | None) -> None:
    load_average = machine.load_average()
    for part in parts:
        report = asyncio.run(measured(part, load_average))
        show(report)
        if folder is not None:
            report.save(folder)


if __name__ == "__main__":
    main()
