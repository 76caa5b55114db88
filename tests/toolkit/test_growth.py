"""A shared host whose memory grows with its calls ends with the calls that it has; others take the next ones."""

import asyncio
import logging
from pathlib import Path

import pytest

from tests.processes import is_dead
from tests.toolkit.recording import ORIGIN, RecordingHandler
from tests.waiting import until
from toolkit.growth import SETTLED_CALLS
from toolkit.pool import HostPool

SAMPLE_TOOLS = Path(__file__).parent / "sample_tools"


async def keep(pool: HostPool, megabytes: int) -> int:
    pid: int = await pool.call("keep_memory", {"megabytes": megabytes}, ORIGIN, RecordingHandler())
    return pid


async def test_a_host_that_grows_with_its_calls_is_replaced_once_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    waits = RecordingHandler()
    async with HostPool([SAMPLE_TOOLS], growth_mb=20) as pool:
        [first] = pool.host_pids
        running = asyncio.create_task(pool.call("wait_politely", {}, ORIGIN, waits))
        await until(lambda: waits.logs, within=30, what="a neighbour runs")
        for _ in range(SETTLED_CALLS):
            assert await keep(pool, 1) == first
        assert await keep(pool, 40) == first
        second = await keep(pool, 40)
        assert second != first
        assert await keep(pool, 40) == second, "the new host has a beginning of its own"
        assert not running.done(), "the neighbour's host ends when it does"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await until(lambda: is_dead(first), within=30, what="the host that had grown ends")
    [line] = [record for record in caplog.records if record.message.startswith("host replaced")]
    assert line.fields["grown_mb"] >= 40  # type: ignore[attr-defined]
    assert (line.fields["calls"], line.fields["replaced"]) == (SETTLED_CALLS + 1, 1)  # type: ignore[attr-defined]


async def test_what_is_loaded_in_the_first_calls_replaces_no_host() -> None:
    async with HostPool([SAMPLE_TOOLS], growth_mb=20) as pool:
        [first] = pool.host_pids
        assert {await keep(pool, 40 if call == 2 else 0) for call in range(2 * SETTLED_CALLS)} == {first}
