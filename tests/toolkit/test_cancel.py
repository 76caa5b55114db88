"""A cancelled call returns soon and nothing of it runs on, however the tool behaves."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.processes import is_dead
from tests.toolkit.conftest import SAMPLE_TOOLS
from tests.toolkit.recording import ORIGIN, RecordingHandler
from tests.waiting import until
from toolkit.errors import ToolTimeout
from toolkit.pool import HostPool

BOUND_SECONDS = 30
"""Whatever the machine does besides: the tools would wait for a minute."""
OBEDIENT = ("wait_politely", "wait_on_loop", "wait_in_python")
STUBBORN = ("wait_stubbornly", "wait_and_swallow", "wait_in_to_thread", "wait_in_process", "wait_for_child")


@pytest_asyncio.fixture
async def patient() -> AsyncIterator[HostPool]:
    """A long grace, half of which passes before a call is interrupted: a busy machine makes no tool disobedient."""
    async with HostPool([SAMPLE_TOOLS], grace_seconds=10) as pool:
        yield pool


async def begin(pool: HostPool, name: str, handler: RecordingHandler, **arguments: Any) -> "asyncio.Task[Any]":
    """A call that has reached its waiting."""
    task = asyncio.create_task(pool.call(name, arguments, ORIGIN, handler))
    await until(lambda: handler.logs or handler.hanging.is_set() or task.done(), within=30, what="the tool waits")
    return task


async def cancel(task: "asyncio.Task[Any]") -> float:
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - began


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - counted, not walked


@pytest.mark.parametrize("name", OBEDIENT)
async def test_a_tool_that_can_be_stopped_is_stopped_and_its_host_stays(
    patient: HostPool, handler: RecordingHandler, name: str
) -> None:
    await patient.call("add", {"left": 1}, ORIGIN, handler)
    hosts = {pid: threads_of(pid) for pid in patient.host_pids}
    task = await begin(patient, name, handler)
    assert await cancel(task) < BOUND_SECONDS
    await until(
        lambda: all(threads_of(pid) <= threads for pid, threads in hosts.items()), within=30, what="no thread is left"
    )


@pytest.mark.parametrize("name", STUBBORN)
async def test_a_tool_that_cannot_be_stopped_loses_its_process(
    pool: HostPool, handler: RecordingHandler, name: str
) -> None:
    task = await begin(pool, name, handler)
    before = set(pool.host_pids)
    assert await cancel(task) < BOUND_SECONDS
    ended = before - set(pool.host_pids)
    assert len(ended) == 1
    assert all(is_dead(pid) for pid in ended)


async def test_children_of_a_tool_end_with_its_process(pool: HostPool, handler: RecordingHandler) -> None:
    task = await begin(pool, "wait_for_child", handler)
    child = int(handler.logs[0][1])
    assert not is_dead(child)
    await cancel(task)
    await until(lambda: is_dead(child), within=30, what="the child has ended")


async def test_a_tool_waiting_for_the_worker_is_freed_and_the_workers_part_is_cancelled(
    patient: HostPool, handler: RecordingHandler
) -> None:
    task = await begin(patient, "wait_in_complete", handler)
    before = set(patient.host_pids)
    assert await cancel(task) < BOUND_SECONDS
    assert handler.hang_cancelled
    assert before <= set(patient.host_pids)


async def test_neighbours_of_a_killed_call_run_again_elsewhere(
    pool: HostPool, handler: RecordingHandler, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    neighbour = await begin(pool, "wait_and_count", RecordingHandler(), seconds=1, marks=str(marks))
    stubborn = await begin(pool, "wait_stubbornly", handler)
    await cancel(stubborn)
    assert await neighbour == "done"
    assert marks.read_text() == "ran\nran\n"


async def test_neighbours_of_an_obedient_call_are_left_alone(
    patient: HostPool, handler: RecordingHandler, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    neighbour = await begin(patient, "wait_and_count", RecordingHandler(), seconds=1, marks=str(marks))
    await cancel(await begin(patient, "wait_in_python", handler))
    assert await neighbour == "done"
    assert marks.read_text() == "ran\n"


async def test_a_second_cancel_does_not_leave_the_tool_running(pool: HostPool, handler: RecordingHandler) -> None:
    task = await begin(pool, "wait_stubbornly", handler)
    before = set(pool.host_pids)
    task.cancel()
    await asyncio.sleep(0.05)  # into its grace
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: before - set(pool.host_pids), within=30, what="the host is gone")


async def test_a_tool_is_stopped_at_its_own_time_limit(pool: HostPool, handler: RecordingHandler) -> None:
    began = time.monotonic()
    with pytest.raises(ToolTimeout, match=r"The tool too_slow was stopped after 0\.3 s, its time limit\."):
        await pool.call("too_slow", {}, ORIGIN, handler)
    assert time.monotonic() - began < 0.3 + BOUND_SECONDS


async def test_closing_the_pool_ends_all_hosts(handler: RecordingHandler) -> None:
    async with HostPool([Path(__file__).parent / "sample_tools"]) as pool:
        task = await begin(pool, "wait_stubbornly", handler)
        pids = pool.host_pids
        await cancel(task)
    assert all(is_dead(pid) for pid in pids)
    assert pool.host_pids == ()
