"""The benchmarks in their shortened form: that they work, not what they find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.browser import BrowserSession
from benchmarks.endpoint import now_ticks
from benchmarks.figures import Figure, Row, part, rows, table
from benchmarks.streaming import percentile
from tests.server import ROOT

CPU = Figure(name="CPU", unit="s")


def test_the_command_measures_both_apps_and_its_page_explains_every_figure(tmp_path: Path) -> None:
    saved = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--short", "--json", str(saved)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    report = json.loads(saved.read_text())
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for row in report["rows"]:
        assert f"| {row['figure']} " in ended.stdout
        assert row["peer"][0] > 0, row
        assert row["figure"].partition(":")[0] in page
    assert {"CPU per 1,000 tokens", "token delay, p99", "start to page"} <= {row["figure"] for row in report["rows"]}
    assert report["machine"]["cores"] >= 1


def test_the_page_shows_the_saved_figures() -> None:
    report = json.loads((ROOT / "benchmarks" / "figures.json").read_text())
    saved = [
        Row(
            figure=Figure(name=row["figure"], unit=row["unit"], load=row["load"]),
            ours=row["longhaul"],
            peer=row["peer"],
        )
        for row in report["rows"]
    ]
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    assert table(saved, "Longhaul", "plain Chainlit") in page
    assert report["machine"]["processor"] in page


def test_a_ratio_is_of_values_measured_one_after_the_other() -> None:
    (row,) = rows([({CPU: 1.0}, {CPU: 2.0}), ({CPU: 10.0}, {CPU: 10.0}), ({CPU: 6.0}, {CPU: 4.0})])
    assert row.ratio == 1.0
    assert "| CPU    | –    | s    | 6        | 4     | 1.00  |" in table([row], "Longhaul", "plain").splitlines()


def test_what_only_we_have_is_set_against_the_peer_as_a_whole() -> None:
    _, worker = rows([({CPU: 3.0, part(CPU, of="worker"): 1.0}, {CPU: 2.0})])
    assert (worker.figure.name, worker.ratio) == ("CPU: worker", 0.5)


def test_a_word_counts_when_it_comes_first_and_not_before_the_one_ahead_of_it() -> None:
    session = BrowserSession("http://localhost")
    sent = int(now_ticks())
    session.take(f'42["stream_token",{{"token":"w0@{sent} w1@{sent} "}}]')
    session.take(f'42["update_message",{{"output":"w0@{sent} w1@{sent} "}}]')
    session.take(f'42["stream_token",{{"token":"w3@{sent} "}}]')
    assert len(session.delays) == 2


@pytest.mark.parametrize(("percent", "value"), [(50, 2), (99, 4), (25, 1)])
def test_a_percentile_is_one_of_the_values(percent: int, value: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == value
