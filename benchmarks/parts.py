"""A part of the benchmarks, measured in pairs of Longhaul and a peer, one after the other."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import endpoint, machine
from benchmarks.figures import Measured, rows
from benchmarks.report import Report
from benchmarks.streaming import Conditions

Pair = tuple[Measured, Measured]
"""Longhaul's values and the peer's, measured one after the other."""


class Options(argparse.Namespace):
    """The command's options."""

    names: list[str]
    pairs: int
    seconds: float
    """The length of each streamed answer."""
    short: bool
    json: Path | None
    loads: Sequence[tuple[int, float]]
    """Numbers of browser sessions, and the tokens per second of each."""
    streams: Sequence[int]
    production: bool
    postgres: bool
    rows: int
    concurrency: int


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The surroundings of a measurement."""

    folder: Path
    """Empty at first; shared by all pairs of a part."""
    url: str
    """The endpoint's address."""
    conditions: Conditions
    ran_with: dict[str, object] = field(default_factory=dict)
    """How Longhaul ran, filled in by the part."""

    def fresh(self) -> Path:
        """Returns a new folder for this pair."""
        return Path(tempfile.mkdtemp(dir=self.folder))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A measurement that the command can run by name."""

    name: str
    ours: str
    """The name of the measured app in the table."""
    peer: str
    pairs: int
    """How often each of the two is measured."""
    measure_pair: Callable[[Bench], Awaitable[Pair]]


async def measured(part: Part, load_average: float) -> Report:
    """Measures Longhaul and the peer in turns. `load_average` is from before the first part, which makes load."""
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory(prefix="longhaul-bench-") as folder, endpoint.running() as (pid, url):
        bench = Bench(folder=Path(folder), url=url, conditions=Conditions(pid))
        for number in range(part.pairs):
            tell(f"{part.name}: pair {number + 1} of {part.pairs}")
            pairs.append(await part.measure_pair(bench))
    return Report(
        part=part.name,
        ours=part.ours,
        peer=part.peer,
        machine=machine.describe(),
        load_average_before=load_average,
        ran_with=bench.ran_with,
        conditions=bench.conditions.as_json(),
        pairs=part.pairs,
        rows=rows(pairs),
    )


def tell(what: str) -> None:
    """Prints the progress of the measurement."""
    print(what, file=sys.stderr, flush=True)
