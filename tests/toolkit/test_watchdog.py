"""The watchdog of our own loops."""

import asyncio
import re
import selectors
import time
from functools import partial
from typing import Any

import pytest

from tests.waiting import until
from toolkit.watchdog import LoopWatchdog, _stood_still


def counted(watchdog: LoopWatchdog, stalls: int) -> bool:
    return watchdog.stalls == stalls


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records]


async def test_a_blocked_loop_is_one_line_in_the_log_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with LoopWatchdog("web") as watchdog:
        for stalls in (1, 2):
            await asyncio.sleep(0)
            time.sleep(0.6)  # noqa: ASYNC251 - what it is there for
            await until(partial(counted, watchdog, stalls), within=30, what="the stall is known")
    assert caplog.messages == ["event loop blocked"] * 2
    for fields in told(caplog):
        assert (fields["loop"], fields["over"]) == ("web", True)
        assert 0.2 < fields["seconds"] < 2
        assert re.fullmatch(r"at tests/toolkit/test_watchdog\.py:\d+ in test_a_blocked_loop\w+\(\)", fields["where"])
    assert 0.25 < watchdog.longest_seconds < 2


async def test_a_line_of_a_library_is_told_as_ours_that_called_it(caplog: pytest.LogCaptureFixture) -> None:
    def count(_: re.Match[str]) -> str:
        time.sleep(0.6)
        return ""

    async with LoopWatchdog("worker") as watchdog:
        await asyncio.sleep(0)
        re.sub("x", count, "x")
        await until(lambda: watchdog.stalls, within=30, what="the stall is known")
    assert "in count()" in told(caplog)[0]["where"]


async def test_a_callback_that_waits_in_a_selector_of_its_own_is_found(caplog: pytest.LogCaptureFixture) -> None:
    async with LoopWatchdog("web") as watchdog:
        await asyncio.sleep(0)
        with selectors.DefaultSelector() as selector:
            selector.select(0.6)
        await until(lambda: watchdog.stalls, within=30, what="the stall is known")
    assert "in test_a_callback_that_waits_in_a_selector_of_its_own_is_found()" in told(caplog)[0]["where"]


async def test_a_loop_that_gives_way_is_no_stall(caplog: pytest.LogCaptureFixture) -> None:
    async with LoopWatchdog("web") as watchdog:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            time.sleep(0.05)  # noqa: ASYNC251 - many short ones
            await asyncio.sleep(0)
    assert (watchdog.stalls, watchdog.longest_seconds, caplog.messages) == (0, 0.0, [])


def test_a_process_that_was_stopped_has_no_stalled_loop() -> None:
    now, worked = time.monotonic(), time.process_time()
    assert _stood_still(now - 30, worked)
    assert not _stood_still(now - 0.3, worked)
    assert not _stood_still(now - 30, worked - 30)


def test_a_watchdog_whose_loop_was_closed_ends() -> None:
    loop = asyncio.new_event_loop()
    watchdog = LoopWatchdog("web")
    loop.run_until_complete(watchdog.__aenter__())
    thread = watchdog._watchdog._thread
    loop.close()
    thread.join(timeout=5)
    assert not thread.is_alive()
