"""The benchmarks in their shortened form: that they work, not what they find."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from benchmarks import __main__, api, jobs, page, responses
from benchmarks.apps import slots_for
from benchmarks.browser import BrowserSession
from benchmarks.caller import Call, Refused, call
from benchmarks.endpoint import now_ticks
from benchmarks.figures import Figure, Row, part, rows, table
from benchmarks.parts import Bench, Options, Pair, Part
from benchmarks.peers.install import install
from benchmarks.report import load
from benchmarks.streaming import Conditions, Load, percentile, sizes
from tests.environments import Environment
from tests.server import ROOT

CPU = Figure(name="CPU", unit="s")
PAGE = (ROOT / "docs" / "benchmarks.md").read_text()


def test_the_command_measures_sessions_and_rows_and_its_page_explains_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "rows", "sessions", "--short", "--json", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    sessions, mapped = load(tmp_path / "sessions.json"), load(tmp_path / "rows.json")
    assert ended.stdout.index(sessions.table()) < ended.stdout.index(mapped.table())
    assert {"CPU per 1,000 tokens", "token delay, p99", "start to page"} <= {row.figure.name for row in sessions.rows}
    for row in (*sessions.rows, *mapped.rows):
        assert row.peer[0] > 0 or row.figure.name == "memory per session", row
    assert not page.unexplained(PAGE, (*sessions.rows, *mapped.rows))
    assert sessions.ran_with == {"workers": 1, "slots": 50}
    assert "ran_with: {" in ended.stdout
    (sent,) = (row for row in sessions.rows if row.figure.name == "sent to the pages")
    assert 5 < sent.ours[0] < 500
    assert sessions.machine["cores"] >= 1


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
    tiny = Load(sessions=2, rate=50, seconds=0.2)
    async with jobs.Upstream().open() as upstream, jobs.StepTaking(tmp_path, upstream.url, slots=8) as app:
        direct = await api.measure_direct(upstream.url, tiny)
        streams = await api.measure_doors(app, tiny, direct, Conditions(os.getpid()))
        measured = await jobs.measure_jobs(app, upstream, jobs.SHORT)
    app.check_log()
    proxy = dict.fromkeys(direct, 1.0) | {Figure(name="CPU per 1,000 tokens", unit="s", load=str(tiny)): 1.0}
    compared = rows([(streams, proxy)])
    assert all(row.peer for row in compared), "each door is set against the proxy's one"
    assert {"chat completions", "Deep Chat", "job events"} <= {row.figure.name.partition(": ")[2] for row in compared}
    assert all(value > 0 for figure, value in measured.items())
    assert all(value > 0 for figure, value in streams.items() if figure.name.startswith("first token"))
    assert not page.unexplained(PAGE, (*compared, *rows([(measured, {})])))
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


@pytest.mark.parametrize(("ours", "peer"), [(0.5, 0.0), (0.5, -0.1), (-0.1, 0.5)])
def test_a_difference_below_zero_has_no_ratio_but_is_shown(ours: float, peer: float) -> None:
    (row,) = rows([({CPU: ours}, {CPU: peer})])
    assert row.ratio is None
    assert f"| {ours:g} " in table([row], "Longhaul", "plain")
    assert f"| {peer:g} " in table([row], "Longhaul", "plain")


def test_sizes_are_for_1000_tokens_and_for_each_session() -> None:
    found = sizes(Load(sessions=4, rate=20, seconds=100), sent_bytes=80_000, resident=180.0, idle=160.0)
    assert {figure.name: value for figure, value in found.items()} == {
        "sent to the pages": 10.0,  # kB for each of 8 × 1,000 tokens
        "memory": 180.0,
        "memory per session": 5.0,
    }


@pytest.mark.parametrize(("compression", "least", "most"), [("deflate", 100, 5_000), (None, 100_000, 100_100)])
async def test_a_page_counts_the_bytes_on_the_wire(compression: str | None, least: int, most: int) -> None:
    async def serve_page(socket: ServerConnection) -> None:
        await socket.send("0{}")
        assert str(await socket.recv()).startswith("40")
        await socket.send("40{}")
        assert "connection_successful" in str(await socket.recv())
        await socket.recv()
        await socket.send("42" + "long " * 20_000)

    async with serve(serve_page, "127.0.0.1", 0, compression=compression) as server:
        url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        async with BrowserSession(url) as session:
            opening = session.received_bytes
            await session.ask("?")
            assert len(await session.next_frame()) == 100_002
            assert least < session.received_bytes - opening < most


def test_loads_are_numbers_of_sessions_and_their_rates() -> None:
    assert __main__.loads("1x20,20x2.5") == ((1, 20), (20, 2.5))
    with pytest.raises(argparse.ArgumentTypeError, match="such as 50x20"):
        __main__.loads("1x20,20")
    with pytest.raises(argparse.ArgumentTypeError, match="none of sessions, api"):
        __main__.known("session")


def test_all_parts_are_measured_by_default_with_slots_for_the_largest_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    told = __main__.options()
    assert (told.names, told.pairs, told.json) == ([], 2, None)
    assert (told.loads[-2:], told.streams) == (((200, 20), (20, 100)), (1, 50, 200))
    assert slots_for(count for count, _ in told.loads) == 200
    assert slots_for([1, 2]) == 50


def test_what_was_measured_before_an_abort_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def measure(_: Bench) -> Pair:
        return {CPU: 1.0}, {CPU: 2.0}

    async def abort(_: Bench) -> Pair:
        raise KeyError("no power")

    def prepared(name: str, how: Callable[[Bench], Awaitable[Pair]]) -> Callable[[Options], Part]:
        return lambda options: Part(name=name, ours="us", peer="them", pairs=options.pairs, measure_pair=how)

    monkeypatch.setattr(__main__, "PARTS", {"first": prepared("first", measure), "second": prepared("second", abort)})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--json", str(tmp_path / "new")])
    with pytest.raises(KeyError, match="no power"):
        __main__.main()
    report = load(tmp_path / "new" / "first.json")
    assert (report.ours, report.peer, report.pairs, report.conditions) == ("us", "them", 2, None)
    assert report.rows == [Row(figure=CPU, ours=[1.0, 1.0], peer=[2.0, 2.0])]


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


def test_a_peer_that_cannot_be_installed_is_one_line(tmp_path: Path) -> None:
    environment = Environment(folder=tmp_path / "environment", requirements=tmp_path / "requirements.txt")
    environment.requirements.write_text(f"nothing @ file://{tmp_path}/nothing.whl\n")
    with pytest.raises(SystemExit, match=r"\A[^\n]+ could not be installed: [^\n]+\Z"):
        install(environment)
    assert not environment.is_made


def test_a_client_of_responses_shows_all_deltas_but_those_of_items_that_ended_as_incomplete() -> None:
    def delta(item: str, text: str) -> dict[str, object]:
        return {"type": "response.output_text.delta", "item_id": item, "delta": text}

    def done(item: str, status: str) -> dict[str, object]:
        return {"type": "response.output_item.done", "item": {"id": item, "status": status}}

    stream = [
        delta("a", "w0@1 "),
        done("a", "incomplete"),
        delta("b", "w0@2 "),
        delta("b", "w1@2 "),
        delta("c", "w0@3 "),
    ]
    assert responses.shown(iter([*stream, done("b", "completed")])) == "w0@2 w1@2 w0@3 "
