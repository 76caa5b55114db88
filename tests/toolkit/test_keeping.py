"""What a call keeps and what it does not: recorded answers and parts, its storage, its temporary files."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.toolkit.conftest import SAMPLE_TOOLS
from tests.toolkit.recording import ORIGIN, RecordingHandler
from tests.waiting import until
from toolkit.errors import ToolError, ToolIncomplete, ToolTimeout
from toolkit.handler import CallContext
from toolkit.pool import HostPool
from toolkit.scratch import Scratch

pytestmark = pytest.mark.asyncio(loop_scope="module")

POOL_THAT_DIES = """
import asyncio, os, sys
from pathlib import Path
from toolkit.scratch import Scratch

async def main():
    async with Scratch(Path(sys.argv[1])) as scratch, scratch.directory(made=True) as place:
        (Path(place) / "left").touch()
        os._exit(0)

asyncio.run(main())
"""


def kept_in(path: Path) -> CallContext:
    return replace(ORIGIN, storage=str(path / "storage"))


def directories(scratch: Path) -> list[Path]:
    return [path for path in scratch.glob("*/*") if path.is_dir()]


@pytest.mark.parametrize("name", ["ask", "ask_async"])
async def test_an_answer_is_a_text_that_knows_its_cost(shared_pool: HostPool, name: str) -> None:
    handler = RecordingHandler()
    assert await shared_pool.call(name, {"questions": ["why?"]}, ORIGIN, handler) == [["say why?", 4, None]]
    assert handler.rates == [(600, None)]


@pytest.mark.parametrize("name", ["ask", "ask_async"])
async def test_a_question_has_the_same_path_in_whatever_order_it_is_asked(shared_pool: HostPool, name: str) -> None:
    first, second = RecordingHandler(), RecordingHandler()
    await shared_pool.call(name, {"questions": ["why?", "how?", "why?"]}, ORIGIN, first)
    await shared_pool.call(name, {"questions": ["how?", "why?", "why?"]}, ORIGIN, second)
    assert first.completions == second.completions
    assert len(first.completions) == 3
    assert sum(path.endswith(":1") for path in first.completions) == 1


@pytest.mark.parametrize("name", ["map_under", "map_under_async"])
async def test_parts_are_read_back_under_the_same_key_only(shared_pool: HostPool, name: str) -> None:
    handler = RecordingHandler()
    assert await shared_pool.call(name, {"key": "a", "items": [1, 2]}, ORIGIN, handler) == [2, 4]
    assert await shared_pool.call(name, {"key": "a", "items": [8, 9, 3]}, ORIGIN, handler) == [2, 4, 6]
    assert await shared_pool.call(name, {"key": "b", "items": [5]}, ORIGIN, handler) == [10]
    assert len(handler.begun) == 4
    assert all(path.startswith("map:") and "/part:" in path for path in handler.begun)


@pytest.mark.parametrize("name", ["spend_in_thread", "spend_in_process", "spend_on_loop"])
async def test_a_tool_that_stops_early_gives_its_result_and_goes_on_with_more(shared_pool: HostPool, name: str) -> None:
    handler = RecordingHandler()
    with pytest.raises(ToolIncomplete) as stopped:
        await shared_pool.call(name, {"rows": 5, "budget": 3}, ORIGIN, handler)
    assert (stopped.value.reason, stopped.value.result) == ("the budget of 3 rows is used up", {"rows": 3})
    assert await shared_pool.call(name, {"rows": 5, "budget": 9}, ORIGIN, handler) == 5
    assert handler.begun == [f"step:row {row}" for row in range(5)]


async def test_a_tool_that_stops_with_more_than_can_be_passed_on_fails_with_a_sentence(shared_pool: HostPool) -> None:
    with pytest.raises(ToolError, match=r"^The result of the tool stop_with_too_much is not JSON: it has 10\.0 MB"):
        await shared_pool.call("stop_with_too_much", {}, ORIGIN, RecordingHandler())


@pytest.mark.parametrize("name", ["leave_in_thread", "leave_in_process", "leave_on_loop"])
async def test_scratch_is_empty_private_and_gone_and_storage_stays(
    tmp_path: Path, shared_pool: HostPool, name: str
) -> None:
    for run in range(2):
        place, before, mode, kept, *_ = await shared_pool.call(name, {}, kept_in(tmp_path), RecordingHandler())
        assert (before, mode, kept) == ([], "0o700", run)
        assert not Path(place).exists()


async def test_temporary_files_of_a_process_go_to_its_scratch(tmp_path: Path, shared_pool: HostPool) -> None:
    place, *_, temporary = await shared_pool.call("leave_in_process", {}, kept_in(tmp_path), RecordingHandler())
    assert temporary == place


async def test_a_call_without_storage_is_refused_it(shared_pool: HostPool) -> None:
    with pytest.raises(ToolError, match="failed unexpectedly"):
        await shared_pool.call("leave_in_thread", {}, ORIGIN, RecordingHandler())


@pytest.mark.parametrize("name", ["leave_in_thread", "leave_in_process"])
@pytest.mark.parametrize("then", ["die", "fail", "hang"])
async def test_nothing_is_left_of_a_call_however_it_ends(tmp_path: Path, name: str, then: str) -> None:
    scratch = tmp_path / "scratch"
    handler = RecordingHandler()
    async with HostPool([SAMPLE_TOOLS], scratch=scratch, spare_hosts=0) as pool:
        call = asyncio.create_task(pool.call(name, {"then": then}, kept_in(tmp_path), handler))
        await until(lambda: handler.logs, within=30, what="the file is left")
        assert Path(handler.logs[0][1]).is_relative_to(scratch)
        if then == "hang":
            call.cancel()
        with pytest.raises((ToolError, asyncio.CancelledError)):
            await call
        assert directories(scratch) == []
    assert list(scratch.iterdir()) == []


async def test_a_call_that_runs_again_finds_an_empty_scratch(tmp_path: Path) -> None:
    dies, waits = RecordingHandler(), RecordingHandler()
    async with HostPool([SAMPLE_TOOLS]) as pool:
        dying = asyncio.create_task(pool.call("die_once", {"marks": str(tmp_path / "marks")}, ORIGIN, dies))
        await until(lambda: dies.logs, within=30, what="the first runs")
        neighbour = asyncio.create_task(pool.call("wait_politely", {}, ORIGIN, waits))
        await until(lambda: waits.logs, within=30, what="the second runs")
        (tmp_path / "go").touch()
        assert await dying == []
        neighbour.cancel()
        with pytest.raises(asyncio.CancelledError):
            await neighbour
    first, second = (message for _, message in dies.logs)
    assert first != second


async def test_a_call_at_its_time_limit_leaves_nothing(tmp_path: Path) -> None:
    async with HostPool([SAMPLE_TOOLS], scratch=tmp_path, spare_hosts=0) as pool:
        with pytest.raises(ToolTimeout):
            await pool.call("too_slow", {}, ORIGIN, RecordingHandler())
        assert directories(tmp_path) == []


async def test_what_a_killed_worker_left_is_removed_by_the_next_and_the_livings_is_not(tmp_path: Path) -> None:
    async with Scratch(tmp_path) as living, living.directory(made=True) as place:
        command = (sys.executable, "-c", POOL_THAT_DIES, str(tmp_path))
        await asyncio.to_thread(subprocess.run, command, check=True, cwd=Path(__file__).resolve().parents[2])
        assert len(directories(tmp_path)) == 2
        async with Scratch(tmp_path):
            assert [str(path) for path in directories(tmp_path)] == [place]


async def test_charts_and_tables_are_known_by_their_endings(shared_pool: HostPool) -> None:
    handler = RecordingHandler()
    names = ["paths.plotly.json", "rows.table.json", "other.json", "paths.html", "strange"]
    await shared_pool.call("draw", {"names": names}, ORIGIN, handler)
    assert {name: mime for name, (mime, _) in handler.artifacts.items()} == {
        "paths.plotly.json": "application/vnd.plotly.v1+json",
        "rows.table.json": "application/vnd.longhaul.table+json",
        "other.json": "application/json",
        "paths.html": "text/html",
        "strange": "application/octet-stream",
    }
