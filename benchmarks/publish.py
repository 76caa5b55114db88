"""The command `python -m benchmarks.publish`: writes saved figures into the tables and the plot of the page."""

from __future__ import annotations

import sys

from benchmarks import page, plot
from benchmarks.report import Report, load
from tests.server import ROOT

FIGURES = ROOT / "benchmarks" / "figures"
PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = PAGE.with_suffix(".svg")


def saved() -> dict[str, Report]:
    """Returns the saved reports by name."""
    reports = [load(path) for path in sorted(FIGURES.glob("*.json"))]
    return {report.part: report for report in reports}


def main() -> None:
    reports = saved()
    try:
        written = page.with_figures(PAGE.read_text(encoding="utf-8"), reports)
    except page.Unfit as unfit:
        sys.exit(f"{PAGE.name}: {unfit}")
    PAGE.write_text(written, encoding="utf-8")
    PLOT.write_text(plot.picture(reports), encoding="utf-8")


if __name__ == "__main__":
    main()
