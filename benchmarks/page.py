"""Writes the tables of docs/benchmarks.md between their markers, from the saved figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from benchmarks.figures import Row
from benchmarks.report import Report

REGION = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
"""The opening marker, the part's name, the closing marker."""
EXPLAINED = re.compile(r"^\| ([^|`]+?) +\|", re.MULTILINE)
"""The first cell of a row of a table."""
PERCENTILE = re.compile(r", p\d+.*")
NOTHING = "*Not measured yet.*"


class Unfit(Exception):
    """The page has no markers for a figure, or does not explain it."""


def with_figures(text: str, reports: Mapping[str, Report]) -> str:
    """Returns the page with these figures and no others."""
    lost = set(reports) - {region[2] for region in REGION.finditer(text)}
    if lost:
        raise Unfit(f"the page has no line <!-- figures: {min(lost)} --> with a line <!-- end --> below it")
    unknown = unexplained(text, (row for report in reports.values() for row in report.rows))
    if unknown:
        raise Unfit(f"the page explains no {min(unknown)!r}: it needs a row in one of the tables of figures")
    return REGION.sub(lambda region: f"{region[1]}{_content(reports.get(region[2]))}\n{region[3]}", text)


def unexplained(text: str, rows: Iterable[Row]) -> set[str]:
    """Returns the figures that no row of the page's own tables explains."""
    cells = EXPLAINED.findall(REGION.sub("", text))
    return {_stem(row.figure.name) for row in rows} - {_stem(cell) for cell in cells}


def _stem(name: str) -> str:
    """Returns the name under which a figure is explained, such as `token delay` for `token delay, p99`."""
    return PERCENTILE.sub("", name.partition(":")[0])


def _content(report: Report | None) -> str:
    if report is None:
        return NOTHING
    return f"\n{' '.join(_sentences(report))}\n\n{report.table()}\n"


def _sentences(report: Report) -> Iterable[str]:
    """Yields where and how the figures were measured."""
    machine = report.machine
    versions = [
        f"{name} {version}" for name, version in machine.items() if name not in {"cores", "processor", "system"}
    ]
    pairs = "One pair." if report.pairs == 1 else f"Medians of {report.pairs} pairs."
    yield f"{machine['cores']} cores ({machine['processor']}), {machine['system']}, {', '.join(versions)}. {pairs}"
    if report.ran_with:
        yield f"Longhaul ran with {', '.join(f'{what}: {count}' for what, count in report.ran_with.items())}."
    yield f"The load average was {report.load_average_before:.2f} when the run began."
    if report.conditions is not None:
        cores = report.conditions["cores"]
        shares = ", ".join(f"the {name} {max(used):.2f}" for name, used in cores.items() if name != "others")
        yield f"Cores that were used at most: {shares}, other work {max(cores['others']):.2f}."
        yield f"The load generator's loop was late by {report.conditions['loop_lag_p99_ms']} ms at p99."
