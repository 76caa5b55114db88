"""The watch over event loops: a blocking call fails its test, a busy machine does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.blocking import SCHEDULER, BlockedLoops

SECONDS = 0.5


async def test_a_callback_that_sleeps_is_found() -> None:
    with BlockedLoops(SECONDS) as blocked:
        await asyncio.sleep(0)
        time.sleep(2 * SECONDS)  # noqa: ASYNC251 - the very mistake
        await asyncio.sleep(0)
    assert len(blocked.callbacks) == 1


async def test_a_callback_that_calculates_is_found() -> None:
    with BlockedLoops(SECONDS) as blocked:
        await asyncio.sleep(0)
        calculate(2 * SECONDS)
        await asyncio.sleep(0)
    assert len(blocked.callbacks) == 1


@pytest.mark.skipif(not SCHEDULER.exists(), reason="only Linux says how long a thread waited for a processor")
async def test_a_callback_that_waits_for_the_processor_is_not_found() -> None:
    with one_busy_processor(), BlockedLoops(SECONDS) as blocked:
        await asyncio.sleep(0)
        began = time.perf_counter()
        calculate(SECONDS / 2)
        taken = time.perf_counter() - began
        await asyncio.sleep(0)
    assert taken > SECONDS, "the machine was not busy"
    assert blocked.callbacks == []


def calculate(seconds: float) -> None:
    """Until this thread has had the processor for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@contextlib.contextmanager
def one_busy_processor() -> Iterator[None]:
    """This thread shares one processor with three programs that never wait."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        for other in others:
            other.kill()
            other.wait()
