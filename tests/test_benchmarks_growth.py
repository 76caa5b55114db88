"""The benchmarks of the store in their shortened form, the page of figures, and the profiler: that they work."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import growth, page, plot, publish
from benchmarks.figures import Figure, Row, table
from benchmarks.report import Report, load
from jobs.local import WorkerLock
from tests.server import ROOT

RAW = [
    "main (app.py:3);send (socket.py:40) 6",
    "main (app.py:3);render (view.py:7);send (socket.py:41) 3",
    "main (app.py:9);EpollSelector.select (selectors.py:468) 90",
    "Thread.run (threading.py:975);_worker (concurrent/futures/thread.py:81) 100",
    "main (app.py:9);render (view.py:8) 1",
]


@pytest.fixture(scope="module")
def profile() -> ModuleType:
    loader = SourceFileLoader("profile_script", str(ROOT / "scripts" / "profile"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # where its dataclasses look for their annotations
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """What the command found, by the parts' names."""
    folder = tmp_path_factory.mktemp("figures")
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "catch-up",
        "growth",
        "flood",
        "cluster",
        "--short",
        "--json",
        str(folder),
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    reports = {path.stem: load(path) for path in folder.iterdir()}
    assert set(reports) == {"catch-up", "growth", "flood", "cluster"}
    assert all(report.table() in ended.stdout for report in reports.values())
    return reports


def by_name(report: Report) -> dict[str, Row]:
    return {f"{row.figure.name} of {row.figure.load}".removesuffix(" of "): row for row in report.rows}


def test_the_command_measures_who_catches_up(measured: dict[str, Report]) -> None:
    rows = by_name(measured["catch-up"])
    assert rows["whole job of 1 × 1,500 events"].ratio
    assert {
        "whole job of 3 × 1,500 events",
        "first screen of 600 events",
        "whole thread of 3 turns of 20 tokens",
    } <= set(rows)
    assert all(row.ours[0] > 0 for row in rows.values())


def test_the_command_measures_a_store_that_has_grown(measured: dict[str, Report]) -> None:
    rows = by_name(measured["growth"])
    for figure in ("append, p99", "claim, p50", "read 500 events, p50", "list jobs, p50", "list threads, p50"):
        assert rows[figure].ratio
    deleted = f"{growth.SHORT.deleted_tokens:,} events"
    assert rows[f"longest append meanwhile of {deleted}"].ours[0] > 0
    assert 50 < rows["size per 1,000 tokens"].ours[0] < 500


def test_the_command_measures_a_neighbour_of_a_flood(measured: dict[str, Report]) -> None:
    rows = by_name(measured["flood"])
    assert rows["submit, p99"].ratio
    assert rows["worker's memory at its highest"].ours[0] > 10
    assert rows["cancel to closed endpoint, p99"].ours[0] >= 0


def test_the_command_measures_events_between_processes_on_both_databases(measured: dict[str, Report]) -> None:
    rows = by_name(measured["cluster"])
    for figure in ("events per second", "writer to follower, p50"):
        assert rows[f"{figure} of 2 workers"].ratio
    assert rows["CPU of the database per 1,000 events of 2 workers"].ours[0] > 0


def test_the_page_explains_what_they_find(measured: dict[str, Report]) -> None:
    found = [row for report in measured.values() for row in report.rows]
    assert not page.unexplained(publish.PAGE.read_text(), found)


# -- the page ---------------------------------------------------------------------------------------------------

CPU, DELAY = (
    Figure(name="CPU per 1,000 tokens", unit="s", load="L"),
    Figure(name="token delay, p99", unit="ms", load="L"),
)
SKELETON = """
| figure | what it says |
|---|---|
| CPU per 1,000 tokens | processors |
| token delay, p50 and p99 | delays |

<!-- figures: sessions -->
old
<!-- end -->

<!-- figures: api -->
old
<!-- end -->
"""


def report(rows: list[Row], part: str = "sessions") -> Report:
    return Report(
        part=part,
        ours="us",
        peer="them",
        machine={"cores": 3, "processor": "abacus", "system": "wood", "python": "3"},
        load_average_before=0.5,
        ran_with={"workers": 1, "slots": 60},
        conditions={"cores": {"endpoint": [0.1, 0.3], "others": [0.2, 0.0]}, "loop_lag_p99_ms": 4.0},
        pairs=2,
        rows=rows,
    )


def test_the_page_and_the_plot_show_the_saved_figures() -> None:
    reports = publish.saved()
    text = publish.PAGE.read_text()
    hint = "run: python -m benchmarks.publish"
    assert "sessions" in reports
    assert page.with_figures(text, reports) == text, hint
    assert plot.picture(reports) == publish.PLOT.read_text(), hint
    assert publish.PLOT.name in text


def test_figures_replace_what_the_page_said_before() -> None:
    rows = [Row(figure=CPU, ours=[1.0, 3.0], peer=[4.0, 4.0])]
    written = page.with_figures(SKELETON, {"sessions": report(rows)})
    assert "old" not in written
    assert table(rows, "us", "them") in written
    assert written.count(page.NOTHING) == 1
    for fact in ("3 cores (abacus)", "slots: 60", "the endpoint 0.30, other work 0.20", "late by 4.0 ms", "was 0.50"):
        assert fact in written
    assert page.with_figures(written, {"sessions": report(rows)}) == written


def test_a_figure_that_the_page_does_not_explain_is_not_published() -> None:
    rows = [Row(figure=Figure(name="luck", unit="s"), ours=[1.0], peer=[1.0])]
    with pytest.raises(page.Unfit, match="'luck'"):
        page.with_figures(SKELETON, {"sessions": report(rows)})
    told_by_itself = SKELETON.replace("old", "| luck | 1 |")
    assert page.unexplained(told_by_itself, rows) == {"luck"}
    assert not page.unexplained(SKELETON, [Row(figure=DELAY, ours=[1.0], peer=[])])


def test_figures_without_a_place_on_the_page_are_not_lost_silently() -> None:
    with pytest.raises(page.Unfit, match="figures: jobs"):
        page.with_figures(SKELETON, {"jobs": report([], part="jobs")})


def drawn(reports: dict[str, Report]) -> tuple[list[float], list[str]]:
    """Lengths of the bars, and texts, from the top."""
    picture = ElementTree.fromstring(plot.picture(reports))
    height = float(picture.get("height", 0))
    assert all(0 <= float(part.get("y", 0)) <= height for part in picture)
    bars = [part for part in picture if part.get("height") == str(plot.BAR)]
    assert all(float(bar.get("x", 0)) + float(bar.get("width", 0)) < plot.WIDTH - 100 for bar in bars)
    return [float(bar.get("width", 0)) for bar in bars], [part.text for part in picture if part.text]


def test_bars_are_as_long_as_the_values_and_delays_are_logarithmic() -> None:
    cpu = Row(figure=CPU, ours=[1.0, 1.0, 9.0], peer=[4.0, 4.0, 4.0])
    delay = Row(figure=DELAY, ours=[10.0], peer=[1000.0])
    lengths, texts = drawn({"sessions": report([cpu, delay])})
    assert lengths[0] == pytest.approx(lengths[1] / 4, abs=0.1)
    assert lengths[2] == pytest.approx(lengths[3] / 3, abs=0.1), "the axis begins at 1 ms"
    assert {"us", "them", "1.00 s", "4.00 s", "0.25 ×", "10.0 ms", "1,000 ms", "0.01 ×", "1 ms", "100 ms"} <= set(texts)


def test_doors_of_the_api_are_drawn_at_one_load_without_their_processes() -> None:
    names = (
        "CPU per 1,000 tokens: Deep Chat",
        "CPU per 1,000 tokens: Deep Chat, web",
        "first token added, p50: Deep Chat",
    )
    rows = [
        Row(figure=Figure(name=name, unit="s", load=load), ours=[1.0], peer=[2.0])
        for load in ("1 × 20 tok/s", plot.DOORS_AT)
        for name in names
    ]
    lengths, texts = drawn({"api": report(rows, part="api")})
    assert len(lengths) == 2
    assert texts.count("Deep Chat") == 1


# -- the profiler -----------------------------------------------------------------------------------------------


def test_time_is_where_a_thread_works_and_not_where_it_waits(profile: ModuleType) -> None:
    told = profile.hottest(profile.read(RAW)).splitlines()
    assert told[1].split() == ["90.0%", "90.0%", "send", "(socket.py)"]
    assert told[2].split() == ["10.0%", "40.0%", "render", "(view.py)"]
    assert len(told) == 3


def test_a_process_that_only_waited_is_told_of_as_such(profile: ModuleType) -> None:
    with pytest.raises(profile.Refused, match="was idle"):
        profile.read(RAW[2:4])


def test_the_flame_graph_is_an_svg_with_callers_above_what_they_call(profile: ModuleType) -> None:
    picture = ElementTree.fromstring(profile.flame_graph(profile.read(RAW), "web <1>"))
    frames = {group[0].text: group[1] for group in picture if group.tag.endswith("g")}
    assert set(frames) == {
        "main (app.py), 100.0%",
        "render (view.py), 40.0%",
        "send (socket.py), 60.0%",
        "send (socket.py), 30.0%",
    }
    main, render = frames["main (app.py), 100.0%"], frames["render (view.py), 40.0%"]
    assert float(render.get("y", 0)) > float(main.get("y", 0))
    assert float(render.get("width", 0)) < float(main.get("width", 0)) / 2


def test_without_the_right_to_attach_it_is_said_what_to_do(profile: ModuleType) -> None:
    sentence = profile.refusal(7, "Error: Permission Denied: Try running again with elevated permissions\n")
    assert "process 7" in sentence
    assert "ptrace_scope" in sentence


def test_no_process_is_found_where_none_runs(profile: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(profile.Refused, match="No worker process"):
        profile.process_of("worker", tmp_path)
    with WorkerLock(tmp_path / "workers", "worker_x"):  # of this process, which is no worker
        (tmp_path / "wake").mkdir()
        (tmp_path / "wake" / f"{os.getpid()}-abcd").touch()
        for role in ("web", "worker"):
            with pytest.raises(profile.Refused, match=f"No {role} process"):
                profile.process_of(role, tmp_path)
