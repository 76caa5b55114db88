"""The tool that simulates a savings plan: many random futures, and the distribution of their results."""

from __future__ import annotations

import csv
import io
import json
import math
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from toolkit import ToolContext, ToolError, tool

if TYPE_CHECKING:
    import numpy as np

    Balances = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

PERCENTILES = (5, 25, 50, 75, 95)
BLOCK = 50_000
"""Paths computed together. Their random numbers for a year take 5 MB, which fit into a processor's cache."""
MONTHS = 12


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The savings plan and the assumptions about the market. Rates are fractions: 0.06 is 6 % a year."""

    monthly_saving: float
    starting_balance: float
    years: int
    paths: int
    expected_return: float
    volatility: float
    inflation: float
    seed: int

    def paid_in(self, year: int) -> float:
        """Returns the sum paid in by the end of the year."""
        return self.starting_balance + self.monthly_saving * MONTHS * year


@dataclass(frozen=True, kw_only=True)
class Year:
    """The balances of the paths at the end of a year, in that year's money."""

    number: int
    paid_in: float
    balances: tuple[float, ...]
    """The balance at each of PERCENTILES."""
    below_paid_in: float
    """The share of paths with less than was paid in."""

    def at(self, percent: int) -> float:
        return self.balances[PERCENTILES.index(percent)]

    def as_json(self) -> dict[str, float]:
        return {
            "year": self.number,
            "paid_in": round(self.paid_in, 2),
            **{f"p{percent}": round(self.at(percent), 2) for percent in (5, 50, 95)},
        }


@tool(run_in="process", memory_mb=1024)
def simulate_portfolio(
    ctx: ToolContext,
    monthly_saving: Annotated[float, Field(ge=0, le=1e6)] = 500,
    years: Annotated[int, Field(ge=1, le=60)] = 30,
    paths: Annotated[int, Field(ge=1_000, le=1_000_000)] = 100_000,
    expected_return_percent: Annotated[float, Field(ge=-20, le=30)] = 6,
    volatility_percent: Annotated[float, Field(ge=0, le=100)] = 15,
    inflation_percent: Annotated[float, Field(ge=-5, le=30)] = 2,
    starting_balance: Annotated[float, Field(ge=0, le=1e9)] = 0,
    seed: Annotated[int | None, Field(ge=0, lt=2**53)] = None,
) -> dict[str, Any]:
    """Simulate a savings plan and report the 5th, 50th and 95th percentile of its balance, year by year.

    Args:
        monthly_saving: The amount paid in at the end of each month.
        years: The duration in years.
        paths: The number of random futures.
        expected_return_percent: The mean return in a year.
        volatility_percent: The standard deviation of a year's logarithmic return.
        inflation_percent: The rise of prices in a year, for the values in today's money.
        starting_balance: The balance at the beginning.
        seed: The seed of the random numbers; the same seed leads to the same result. By default a new one is drawn.
    """
    if monthly_saving == 0 and starting_balance == 0:
        raise ToolError("There is nothing to invest: set monthly_saving or starting_balance above 0.")
    plan = Plan(
        monthly_saving=monthly_saving,
        starting_balance=starting_balance,
        years=years,
        paths=paths,
        expected_return=expected_return_percent / 100,
        volatility=volatility_percent / 100,
        inflation=inflation_percent / 100,
        # A step, so that a call that runs again after a crash uses the same numbers.
        seed=ctx.step("draw a seed", lambda: secrets.randbelow(2**32)) if seed is None else seed,
    )
    done = []
    ctx.report_progress(0, years, "Drawing the first year")
    for year in simulate(plan):
        done.append(year)
        ctx.report_progress(year.number, years, f"Year {year.number} of {years}: median {_money(year.at(50))}")
    ctx.save_artifact("fan.plotly.json", json.dumps(fan_chart(plan, done)).encode())
    ctx.save_artifact("paths.csv", percentiles_csv(plan, done).encode(), "text/csv")
    return report(plan, done)


def simulate(plan: Plan) -> Iterator[Year]:
    """Yields the years. Takes 8 bytes for each path and about 10 MB more."""
    # Imported here because every tool host imports this file, and few calls are simulations.
    import numpy as np

    balances = np.full(plan.paths, plan.starting_balance, dtype=np.float64)
    blocks = [balances[start : start + BLOCK] for start in range(0, plan.paths, BLOCK)]
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(plan.seed).spawn(len(blocks))]
    for number in range(1, plan.years + 1):
        for block, stream in zip(blocks, streams, strict=True):
            _pass_year(plan, block, stream)
        paid_in = plan.paid_in(number)
        yield Year(
            number=number,
            paid_in=paid_in,
            balances=tuple(float(value) for value in np.percentile(balances, PERCENTILES)),
            below_paid_in=float(np.mean(balances < paid_in)),
        )


def _pass_year(plan: Plan, block: Balances, stream: np.random.Generator) -> None:
    """Advances a block by geometric Brownian motion in monthly steps; a year's mean growth is 1 + expected_return."""
    import numpy as np

    drift = (math.log1p(plan.expected_return) - plan.volatility**2 / 2) / MONTHS
    growth = stream.standard_normal((MONTHS, block.size))
    growth *= plan.volatility / math.sqrt(MONTHS)
    growth += drift
    np.exp(growth, out=growth)
    for month in growth:
        block *= month
        block += plan.monthly_saving


def report(plan: Plan, years: list[Year]) -> dict[str, Any]:
    """Returns the tool's value."""
    end = years[-1]
    return {
        "summary": summary(plan, end),
        **{f"p{percent}": round(end.at(percent), 2) for percent in (5, 50, 95)},
        "today_money": {f"p{percent}": round(_today(plan, end, percent), 2) for percent in (5, 50, 95)},
        "paid_in": round(end.paid_in, 2),
        "share_of_paths_below_paid_in": round(end.below_paid_in, 4),
        "per_year": [year.as_json() for year in years],
        "assumptions": assumptions(plan),
        "seed": plan.seed,
    }


def summary(plan: Plan, end: Year) -> str:
    """Returns Markdown: the result, then the assumptions."""
    span = "1 year" if plan.years == 1 else f"{plan.years} years"
    start = f"starting with {_money(plan.starting_balance)} and " if plan.starting_balance else ""
    lines = [
        f"After {span} of {start}saving {_money(plan.monthly_saving)} a month, **half of {plan.paths:,} simulated "
        f"futures hold {_money(end.at(50))} or more**. One in twenty holds less than {_money(end.at(5))}, one in "
        f"twenty more than {_money(end.at(95))}. {_money(end.paid_in)} were paid in; "
        f"{100 * end.below_paid_in:.1f} % of the futures hold less than that.",
        f"In today's money, at {100 * plan.inflation:g} % inflation, the three values are "
        f"{_money(_today(plan, end, 5))}, {_money(_today(plan, end, 50))} and {_money(_today(plan, end, 95))}.",
        "Assumptions:",
        "\n".join(f"- {assumption}" for assumption in assumptions(plan)),
    ]
    return "\n\n".join(lines)


def assumptions(plan: Plan) -> list[str]:
    return [
        f"Returns of different months are independent and log-normal: {100 * plan.expected_return:g} % a year on "
        f"average, with a volatility of {100 * plan.volatility:g} %. Real markets have fatter tails and bad years in "
        "a row.",
        "The same amount is saved at the end of every month, whatever prices do. Nothing is taken out.",
        "Taxes, fees and transaction costs are left out.",
        f"The average return and inflation stay the same for all {plan.years} years. Neither is known in advance: "
        "the result follows from these assumptions and is not a forecast.",
    ]


def fan_chart(plan: Plan, years: list[Year]) -> dict[str, Any]:
    """Returns a Plotly figure: two bands around the median, and the sum paid in."""
    x = [0, *(year.number for year in years)]

    def curve(percent: int) -> list[float]:
        return [plan.starting_balance, *(round(year.at(percent), 2) for year in years)]

    def band(low: int, high: int, shade: float) -> list[dict[str, Any]]:
        edge = {"x": x, "type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        name = f"{high - low} % of the futures"
        fill = {"fill": "tonexty", "fillcolor": f"rgba(59, 130, 246, {shade})", "name": name}
        return [{**edge, "y": curve(low), "showlegend": False}, {**edge, **fill, "y": curve(high)}]

    line = {"x": x, "type": "scatter", "mode": "lines"}
    paid_in = [plan.paid_in(year) for year in x]
    return {
        "data": [
            *band(5, 95, 0.2),
            *band(25, 75, 0.35),
            {**line, "y": curve(50), "name": "median", "line": {"color": "rgb(37, 99, 235)"}},
            {**line, "y": paid_in, "name": "paid in", "line": {"color": "gray", "dash": "dash"}},
        ],
        "layout": {
            "title": {
                "text": f"{plan.paths:,} futures of saving {_money(plan.monthly_saving)} a month",
                "font": {"size": 15},
            },
            "legend": {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
            "margin": {"t": 56, "r": 16, "b": 48, "l": 64},
            "xaxis": {"title": {"text": "years"}},
            "yaxis": {"title": {"text": "balance"}, "rangemode": "tozero"},
            "hovermode": "x unified",
        },
    }


def percentiles_csv(plan: Plan, years: list[Year]) -> str:
    """Returns a line for each year. Columns ending in `_today` are in today's money."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    names = [f"p{percent}" for percent in PERCENTILES]
    table.writerow(["year", "paid_in", *names, *(f"{name}_today" for name in names)])
    for year in years:
        values = [year.paid_in, *year.balances, *(_today(plan, year, percent) for percent in PERCENTILES)]
        table.writerow([year.number, *(f"{value:.2f}" for value in values)])
    return out.getvalue()


def _today(plan: Plan, year: Year, percent: int) -> float:
    return year.at(percent) / (1 + plan.inflation) ** year.number


def _money(amount: float) -> str:
    return f"{amount:,.0f}"
