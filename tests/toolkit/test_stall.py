"""A tool that blocks the loop it shares delays nobody for long, and its author learns where it did."""

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.server import FIXTURE_TOOLS
from tests.toolkit.conftest import SAMPLE_TOOLS
from tests.toolkit.recording import ORIGIN, RecordingHandler
from tests.waiting import until
from toolkit.pool import HostPool

DELAY_SECONDS = 20
"""On a machine that does other things as well. The loop would be blocked for 70."""


async def begin_block(pool: HostPool, handler: RecordingHandler, seconds: float) -> "asyncio.Task[object]":
    task = asyncio.create_task(pool.call("block_the_loop", {"seconds": seconds}, ORIGIN, handler))
    await until(lambda: handler.logs, within=30, what="the loop is blocked")
    return task


async def end(task: "asyncio.Task[object]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("name", ["add", "add_async"])
async def test_a_second_call_does_not_wait_for_a_blocked_loop(
    warm_pool: HostPool, handler: RecordingHandler, name: str
) -> None:
    blocking = await begin_block(warm_pool, handler, 70)
    began = time.monotonic()
    assert await warm_pool.call(name, {"left": 1}, ORIGIN, RecordingHandler()) == 2
    assert time.monotonic() - began < DELAY_SECONDS
    for _ in range(20):
        began = time.monotonic()
        await warm_pool.call(name, {"left": 1}, ORIGIN, RecordingHandler())
        assert time.monotonic() - began < DELAY_SECONDS
    assert not blocking.done()
    await end(blocking)


@pytest.mark.parametrize("name", ["add", "add_async"])
async def test_a_call_made_in_the_moment_the_loop_is_blocked_is_not_delayed_either(
    warm_pool: HostPool, handler: RecordingHandler, name: str
) -> None:
    began = time.monotonic()
    blocking = asyncio.create_task(warm_pool.call("block_the_loop", {"seconds": 70}, ORIGIN, handler))
    second = asyncio.create_task(warm_pool.call(name, {"left": 1}, ORIGIN, RecordingHandler()))
    assert await second == 2
    assert time.monotonic() - began < DELAY_SECONDS
    await until(lambda: handler.logs, within=30, what="the loop is blocked")
    await end(blocking)


async def test_a_call_already_there_moves_to_another_host(
    pool: HostPool, handler: RecordingHandler, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    arguments = {"seconds": 0.6, "marks": str(marks)}
    neighbour = asyncio.create_task(pool.call("wait_and_count", arguments, ORIGIN, RecordingHandler()))
    await until(marks.exists, within=30, what="the neighbour runs")
    blocking = await begin_block(pool, handler, 70)
    began = time.monotonic()
    assert await neighbour == "done"
    assert time.monotonic() - began < DELAY_SECONDS
    assert marks.read_text() == "ran\nran\n"
    assert not blocking.done()
    await end(blocking)


async def test_a_thread_beside_a_blocked_loop_goes_on_where_it_is(pool: HostPool, handler: RecordingHandler) -> None:
    thread = RecordingHandler()
    talking = asyncio.create_task(pool.call("in_thread", {"number": 1}, ORIGIN, thread))
    blocking = await begin_block(pool, handler, 1.5)
    assert (await talking)["said"] == "conclude all"
    assert await blocking == "slept"


async def test_the_author_is_told_where_the_loop_was_blocked_and_for_how_long(
    pool: HostPool, handler: RecordingHandler
) -> None:
    assert await (await begin_block(pool, handler, 1.5)) == "slept"
    ((level, total),) = handler.logs[1:]
    where = r"at sample_tools/misbehaving\.py:\d+ in block_the_loop\(\): use asyncio\.to_thread or make it `def`"
    assert re.fullmatch(rf"blocked the loop for 1\.\d s {where}", total)
    assert level == "warning"


async def test_a_stall_without_end_is_told_once_while_it_lasts(
    handler: RecordingHandler, capfd: pytest.CaptureFixture[str]
) -> None:
    async with HostPool([SAMPLE_TOOLS], spare_hosts=0) as pool:
        assert await (await begin_block(pool, handler, 5.6)) == "slept"
    ((_, text),) = handler.logs[1:]
    assert re.search(r"blocked the loop for 5\.\d s so far at sample_tools/misbehaving\.py:\d+ in block_the_loop", text)
    assert capfd.readouterr().err.count("blocked the loop for") == 1


async def test_a_host_is_used_again_when_its_stall_is_over(pool: HostPool, handler: RecordingHandler) -> None:
    await (await begin_block(pool, handler, 0.6))
    for _ in range(5):
        await pool.call("add", {"left": 1}, ORIGIN, handler)
    await until(lambda: len(pool.host_pids) <= 2, within=30, what="one shared host and one spare are left")


async def test_a_second_call_does_not_wait_for_a_tool_that_holds_the_interpreter(
    warm_pool: HostPool, handler: RecordingHandler
) -> None:
    holding = asyncio.create_task(warm_pool.call("hold_the_interpreter", {"size": 10**11}, ORIGIN, handler))
    await until(lambda: handler.logs, within=30, what="it holds the interpreter")
    began = time.monotonic()
    assert await warm_pool.call("add", {"left": 1}, ORIGIN, RecordingHandler()) == 2
    assert time.monotonic() - began < DELAY_SECONDS
    assert not holding.done()
    began = time.monotonic()
    await end(holding)
    assert time.monotonic() - began < DELAY_SECONDS


async def test_a_call_that_has_moved_never_begins_in_the_host_that_it_left(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    async with HostPool([FIXTURE_TOOLS], stall_seconds=0.2) as pool:
        await pool.call("note", {"file": str(lines), "text": "first"}, ORIGIN, RecordingHandler())
        [left] = pool._shared
        os.kill(left.pid, signal.SIGSTOP)
        await pool.call("note", {"file": str(lines), "text": "second"}, ORIGIN, RecordingHandler())
        os.kill(left.pid, signal.SIGCONT)
        await until(lambda: not left.stalled and not left.attempts, within=30, what="the host has obeyed")
    assert lines.read_text().split() == ["first", "second"]


LATE = """
from toolkit import tool


@tool
async def late() -> None:
    \"\"\"Imports when it is called.\"\"\"
    import slow_module
"""


async def test_an_import_that_blocks_is_told_to_move_to_the_top(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(LATE)
    (tmp_path / "slow_module").mkdir()
    (tmp_path / "slow_module" / "__init__.py").write_text("import time\n\ntime.sleep(0.7)\n")
    handler = RecordingHandler()
    async with HostPool([tmp_path], spare_hosts=0) as pool:
        await pool.call("late", {}, ORIGIN, handler)
    (line,) = [message for _, message in handler.logs]
    assert re.search(r"blocked the loop for .*, which imports a module: import it at the top of the file", line)
