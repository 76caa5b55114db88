"""The simulation by its mathematics, then the tool in a real host of its own."""

import csv
import importlib
import io
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.toolkit.recording import ORIGIN, RecordingHandler
from toolkit.errors import ToolArgumentsInvalid, ToolError
from toolkit.pool import HostPool
from tools.simulate_portfolio import BLOCK, Plan, simulate

TOOLS = Path(__file__).parents[2] / "tools"
in_a_host = pytest.mark.asyncio(loop_scope="module")


def plan(**changes: Any) -> Plan:
    given: dict[str, Any] = {
        "monthly_saving": 100,
        "starting_balance": 0,
        "years": 10,
        "paths": 20_000,
        "expected_return": 0.06,
        "volatility": 0.15,
        "inflation": 0.02,
        "seed": 7,
    }
    return Plan(**{**given, **changes})


def test_without_risk_every_path_is_the_compound_interest_formula() -> None:
    *_, end = simulate(plan(volatility=0, years=20))
    month = 1.06 ** (1 / 12)
    assert end.balances == pytest.approx([100 * (month**240 - 1) / (month - 1)] * 5)
    assert end.below_paid_in == 0


def test_percentiles_of_a_single_deposit_are_those_of_the_log_normal_distribution() -> None:
    *_, end = simulate(plan(monthly_saving=0, starting_balance=1000, paths=200_000))
    mean, deviation = 10 * (math.log(1.06) - 0.15**2 / 2), 0.15 * math.sqrt(10)
    for percent, quantile in [(5, -1.644854), (50, 0.0), (95, 1.644854)]:
        assert end.at(percent) == pytest.approx(1000 * math.exp(mean + quantile * deviation), rel=0.01)


def test_the_same_seed_gives_the_same_years_and_another_one_does_not() -> None:
    assert list(simulate(plan())) == list(simulate(plan()))
    assert list(simulate(plan())) != list(simulate(plan(seed=8)))


def test_paths_beyond_the_last_full_block_count_too() -> None:
    few = next(iter(simulate(plan(paths=BLOCK, years=1))))
    more = next(iter(simulate(plan(paths=BLOCK + 5_000, years=1))))
    assert few.balances != more.balances
    assert few.at(50) == pytest.approx(more.at(50), rel=0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[HostPool]:
    async with HostPool([TOOLS], spare_hosts=0) as pool:
        yield pool


@in_a_host
async def test_it_reports_the_years_draws_the_fan_and_says_what_it_assumes(pool: HostPool) -> None:
    handler = RecordingHandler()
    arguments = {"monthly_saving": 250, "years": 12, "paths": 60_000, "seed": 1}
    result = await pool.call("simulate_portfolio", arguments, ORIGIN, handler)

    assert result["p5"] < result["p50"] < result["p95"]
    assert result["paid_in"] == 250 * 12 * 12
    assert result["today_money"]["p50"] == pytest.approx(result["p50"] / 1.02**12, abs=0.01)
    assert [year["year"] for year in result["per_year"]] == list(range(1, 13))
    assert result["per_year"][-1]["p50"] == result["p50"]
    assert f"half of 60,000 simulated futures hold {result['p50']:,.0f} or more" in result["summary"]
    assert "not a forecast" in result["summary"]
    assert len(json.dumps(result)) < 20_000
    assert handler.progresses[-1][:2] == (12, 12)

    mime, chart = handler.artifacts["fan.plotly.json"]
    assert mime == "application/vnd.plotly.v1+json"
    figure = importlib.import_module("plotly.graph_objects").Figure(json.loads(chart))  # refuses what is no figure
    median = next(trace for trace in figure.data if trace.name == "median")
    assert list(median.y) == [0, *(year["p50"] for year in result["per_year"])]
    rows = list(csv.DictReader(io.StringIO(handler.artifacts["paths.csv"][1].decode())))
    assert [float(row["p95"]) for row in rows] == [year["p95"] for year in result["per_year"]]
    assert float(rows[-1]["p50_today"]) == result["today_money"]["p50"]


@in_a_host
async def test_a_drawn_seed_is_kept_when_the_call_runs_again(pool: HostPool) -> None:
    handler = RecordingHandler()
    first = await pool.call("simulate_portfolio", {"years": 1, "paths": 1_000}, ORIGIN, handler)
    again = await pool.call("simulate_portfolio", {"years": 1, "paths": 1_000}, ORIGIN, handler)
    named = {"years": 1, "paths": 1_000, "seed": first["seed"]}
    assert first == again == await pool.call("simulate_portfolio", named, ORIGIN, RecordingHandler())


@in_a_host
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"years": 61}, "The argument 'years' is wrong: input should be less than or equal to 60, not 61."),
        ({"paths": 10}, "The argument 'paths' is wrong: input should be greater than or equal to 1000, not 10."),
        ({"volatility_percent": -1}, "The argument 'volatility_percent' is wrong: input should be greater than"),
        ({"monthly_saving": "much"}, "The argument 'monthly_saving' is wrong: input should be a valid number"),
    ],
)
async def test_a_value_that_cannot_be_used_is_named(pool: HostPool, arguments: Any, sentence: str) -> None:
    with pytest.raises(ToolArgumentsInvalid) as caught:
        await pool.call("simulate_portfolio", arguments, ORIGIN, RecordingHandler())
    assert str(caught.value).startswith(sentence)


@in_a_host
async def test_nothing_to_invest_is_said(pool: HostPool) -> None:
    with pytest.raises(ToolError, match=r"There is nothing to invest: set monthly_saving or starting_balance"):
        await pool.call("simulate_portfolio", {"monthly_saving": 0}, ORIGIN, RecordingHandler())
