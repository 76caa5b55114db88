"""A part of the benchmarks: something that is measured in pairs, ours and a peer's, never two at a time."""

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
"""Ours and the peer's, measured one after the other."""


class Options(argparse.Namespace):
    """What the command was told."""

    names: list[str]
    pairs: int
    seconds: float
    """How long each answer streams."""
    short: bool
    json: Path | None
    loads: Sequence[tuple[int, float]]
    """Of browser sessions: how many, and the tokens per second of each."""
    streams: Sequence[int]
    production: bool
    rows: int
    concurrency: int


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where a part is measured."""

    folder: Path
    """Empty at first; the same for all pairs of a part."""
    url: str
    """Of the endpoint."""
    conditions: Conditions
    ran_with: dict[str, object] = field(default_factory=dict)
    """How Longhaul ran: the part says it."""

    def fresh(self) -> Path:
        """A new folder, for this pair only."""
        return Path(tempfile.mkdtemp(dir=self.folder))


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the command can measure by its name."""

    name: str
    ours: str
    """What is measured, as the table calls it."""
    peer: str
    pairs: int
    """How often both are measured."""
    measure_pair: Callable[[Bench], Awaitable[Pair]]


async def measured(part: Part, load_average: float) -> Report:
    """Ours, the peer, ours, the peer … `load_average`: before the first part, which makes a load itself."""
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
    """How far the measuring is."""
    print(what, file=sys.stderr, flush=True)
