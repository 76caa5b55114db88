"""Figures of the measurements, beside the peer's, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A quantity that is measured of each app."""

    name: str
    unit: str
    load: str = ""
    """The app's load meanwhile; empty for none."""


Measured = dict[Figure, float]
"""The values of one run of one app."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure of all runs. The n-th values of both were measured one after the other and form a pair."""

    figure: Figure
    ours: Sequence[float]
    peer: Sequence[float]
    """Empty if the peer has no such figure."""

    @property
    def ratio(self) -> float | None:
        """The median of the pairs' ratios, which leaves out changes of the machine between two pairs.

        None without a divisor, or when a difference of two measured values is below zero.
        """
        if not self.peer or min(self.peer) <= 0 or min(self.ours) < 0:
            return None
        return statistics.median(ours / peer for ours, peer in zip(self.ours, self.peer, strict=True))

    def as_json(self) -> dict[str, object]:
        figure = self.figure
        return {
            "figure": figure.name,
            "load": figure.load,
            "unit": figure.unit,
            "ours": list(self.ours),
            "peer": list(self.peer),
            "ratio": self.ratio,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Row:
        figure = Figure(name=saved["figure"], unit=saved["unit"], load=saved["load"])
        return cls(figure=figure, ours=saved["ours"], peer=saved["peer"])


def rows(pairs: Sequence[tuple[Measured, Measured]]) -> list[Row]:
    """Returns a row for each of Longhaul's figures. One that the peer lacks is compared with its `whole`."""
    return [
        Row(
            figure=figure,
            ours=[ours[figure] for ours, _ in pairs],
            peer=_of_peer(figure, [peer for _, peer in pairs]),
        )
        for figure in pairs[0][0]
    ]


def _of_peer(figure: Figure, runs: Sequence[Measured]) -> list[float]:
    named = figure if figure in runs[0] else whole(figure)
    return [run[named] for run in runs if named in run]


def part(figure: Figure, of: str) -> Figure:
    """Returns the share of one role in a figure that is a sum over processes."""
    return Figure(name=f"{figure.name}: {of}", unit=figure.unit, load=figure.load)


def whole(figure: Figure) -> Figure:
    """Returns the figure that `part` was made from."""
    return Figure(name=figure.name.rpartition(": ")[0], unit=figure.unit, load=figure.load)


def table(rows: Iterable[Row], ours: str, peer: str) -> str:
    """Returns the medians of the runs as a Markdown table."""
    head = ("figure", "load", "unit", ours, peer, "ratio")
    body = [
        (
            row.figure.name,
            row.figure.load or "–",
            row.figure.unit,
            three_digits(statistics.median(row.ours)),
            three_digits(statistics.median(row.peer)) if row.peer else "–",
            "–" if row.ratio is None else f"{row.ratio:.2f}",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    rule = tuple("-" * width for width in widths)
    lines = (
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, rule, *body)
    )
    return "\n".join(f"| {line} |" for line in lines)


def three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
