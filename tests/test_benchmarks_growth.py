"""Catching up and growth in their shortened form, and the profiler: that they work, not what they find."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import growth
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


def report_of(option: str, folder: Path) -> dict[str, Any]:
    saved = folder / "figures.json"
    command = [sys.executable, "-m", "benchmarks", option, "--short", "--json", str(saved)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    rows = json.loads(saved.read_text())["rows"]
    assert all(f"| {row['figure']} " in ended.stdout for row in rows)
    return {f"{row['figure']} of {row['load']}" if row["load"] else row["figure"]: row for row in rows}


def test_the_command_measures_who_catches_up(tmp_path: Path) -> None:
    rows = report_of("--catch-up", tmp_path)
    assert rows["whole job of 1 × 1,500 events"]["ratio"] > 0
    assert {
        "whole job of 3 × 1,500 events",
        "first screen of 600 events",
        "whole thread of 3 turns of 20 tokens",
    } <= set(rows)
    assert all(row["longhaul"][0] > 0 for row in rows.values())


def test_the_command_measures_a_store_that_has_grown(tmp_path: Path) -> None:
    rows = report_of("--growth", tmp_path)
    for figure in ("append, p99", "claim, p50", "read 500 events, p50", "list jobs, p50", "list threads, p50"):
        assert rows[figure]["ratio"] > 0
    deleted = f"{growth.SHORT.deleted_tokens:,} events"
    assert rows[f"longest append meanwhile of {deleted}"]["longhaul"][0] > 0
    assert 50 < rows["size per 1,000 tokens"]["longhaul"][0] < 500


def test_time_is_where_a_thread_works_and_not_where_it_waits(profile: ModuleType) -> None:
    told = profile.hottest(profile.read(RAW)).splitlines()
    assert told[1].split() == ["90.0%", "90.0%", "send", "(socket.py)"]
    assert told[2].split() == ["10.0%", "40.0%", "render", "(view.py)"]
    assert len(told) == 3


def test_a_process_that_only_waited_is_told_of_as_such(profile: ModuleType) -> None:
    with pytest.raises(profile.Refused, match="did nothing"):
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
