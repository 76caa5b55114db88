"""The supervisor and its workers, with real processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobs.local import LocalLiveness
from services.supervisor import Supervisor
from tests.jobs.engine import Engine, sqlite_engine
from tests.waiting import until

SOON = 30.0

WORKER = """
import pathlib, signal, sys, time
begun = pathlib.Path(sys.argv[1])
(begun / str(time.monotonic_ns())).write_text(str(__import__("os").getpid()))
if sys.argv[2] == "fail":
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: (begun / "drained").touch() or sys.exit(0))
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdin.read()
(begun / "end of input").touch()
while sys.argv[2] == "deaf":
    time.sleep(0.1)
"""


@asynccontextmanager
async def supervised(
    engine: Engine, directory: Path, behaviour: str = "work", *, drain_seconds: float = 1
) -> AsyncIterator[Path]:
    """The folder in which each start of a worker leaves a file with its process id."""
    begun = directory / "begun"
    begun.mkdir()
    liveness = LocalLiveness(directory / "workers", ttl_seconds=10)
    command = (sys.executable, "-c", WORKER, str(begun), behaviour)
    async with Supervisor(engine.store, liveness, processes=1, drain_seconds=drain_seconds, command=command):
        yield begun


def starts(begun: Path) -> list[int]:
    texts = [path.read_text() for path in sorted(begun.iterdir()) if path.name.isdigit()]
    return [int(text) for text in texts if text]


async def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine, supervised(engine, tmp_path) as begun:
        (first,) = await until(lambda: starts(begun), within=SOON, what="the worker starts")
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(starts(begun)) == 2, within=SOON, what="another starts")


async def test_a_worker_that_cannot_start_is_tried_again_slower_and_slower(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine, supervised(engine, tmp_path, "fail") as begun:
        await until(lambda: len(starts(begun)) == 4, within=SOON, what="some tries")
        times = [int(path.name) / 1e9 for path in sorted(begun.iterdir())]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert gaps[2] > gaps[0]
        assert gaps[2] > 0.8


async def test_closing_drains_the_worker(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:
        async with supervised(engine, tmp_path) as begun:
            await until(lambda: starts(begun), within=SOON, what="the worker starts")
        assert (begun / "drained").exists()


async def test_a_worker_that_does_not_end_is_killed_after_its_time(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:
        async with supervised(engine, tmp_path, "deaf", drain_seconds=0) as begun:
            (process,) = await until(lambda: starts(begun), within=SOON, what="the worker starts")
            await asyncio.sleep(0)
        assert not Path(f"/proc/{process}").exists()


async def test_a_worker_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine, supervised(engine, tmp_path) as begun:
        (process,) = await until(lambda: starts(begun), within=SOON, what="the worker starts")
        assert os.getsid(process) == process
