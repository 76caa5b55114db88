"""The benchmarks in their shortened form: that they work, not what they find."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import api, jobs
from benchmarks.browser import BrowserSession
from benchmarks.caller import Call, Refused, call
from benchmarks.endpoint import now_ticks
from benchmarks.figures import Figure, Row, part, rows, table
from benchmarks.peers import litellm
from benchmarks.streaming import Conditions, Load, percentile
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


async def test_doors_and_jobs_are_measured_to_their_end(tmp_path: Path) -> None:
    load = Load(sessions=2, rate=50, seconds=0.2)
    async with jobs.Upstream().open() as upstream, jobs.StepTaking(tmp_path, upstream.url, slots=8) as app:
        direct = await api.measure_direct(upstream.url, load)
        streams = await api.measure_doors(app, load, direct, Conditions(os.getpid()))
        measured = await jobs.measure_jobs(app, upstream, jobs.SHORT)
    app.check_log()
    proxy = dict.fromkeys(direct, 1.0) | {Figure(name="CPU per 1,000 tokens", unit="s", load=str(load)): 1.0}
    compared = rows([(streams, proxy)])
    assert all(row.ratio is not None for row in compared), "each door is set against the proxy's one"
    assert {"chat completions", "Deep Chat", "job events"} <= {row.figure.name.partition(": ")[2] for row in compared}
    assert all(value > 0 for figure, value in measured.items())
    assert all(value > 0 for figure, value in streams.items() if figure.name.startswith("first token"))
    alone = {row.figure.name for row in rows([(measured, {})])}
    assert {
        "submit to model request, p50",
        "jobs per second",
        "steps per second",
        "stop to upstream closed, p50",
    } < alone


def test_what_the_peer_does_not_have_stands_alone() -> None:
    (row,) = rows([({CPU: 1.0}, {}), ({CPU: 3.0}, {})])
    assert "| CPU    | –    | s    | 2        | –     | –     |" in table([row], "Longhaul", "plain").splitlines()
    assert row.as_json()["ratio"] is None


async def test_a_word_cut_in_two_by_the_network_counts_once() -> None:
    call = Call(b"")
    sent = int(now_ticks())
    for read in (
        f'data: {{"a":"w0@{sent} w1@{sent // 10}',
        f'{sent % 10} w2@{sent} "}}',
        f"w0@{sent} w1@{sent} w3@{sent}",
    ):
        call.data_received(read.encode())
    assert len(call.delays) == 3
    assert max(call.delays) < 1


async def test_a_refused_call_says_what_the_server_said() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\nno such door")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        refused = await call(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "GET", "/")
        with pytest.raises(Refused, match="no such door"):
            await refused.end()


def test_a_peer_that_cannot_be_installed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "ENVIRONMENT", tmp_path / "environment")
    monkeypatch.setattr(litellm, "INSTALLED", tmp_path / "environment" / "installed")
    monkeypatch.setattr(litellm, "REQUIREMENTS", tmp_path / "requirements.txt")
    (tmp_path / "requirements.txt").write_text(f"nothing @ file://{tmp_path}/nothing.whl\n")
    with pytest.raises(SystemExit, match=r"\ALiteLLM could not be installed: [^\n]+\Z"):
        litellm.install()
    assert not litellm.INSTALLED.exists()
