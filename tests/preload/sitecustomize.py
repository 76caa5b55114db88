"""Loaded by every Python process of a server under test: moves its clock, or kills it at a chosen point.

TEST_CLOCK_AHEAD_SECONDS   the wall clock is that much ahead
TEST_CLOCK_FILE            the wall clock is as many seconds ahead as this file says, at each moment
TEST_KILL_AFTER_STEP       a file; the process that finishes the step whose path is written there is killed (-9) before
                           it does anything after it, once: the file is gone then
TEST_SESSION_SECONDS       how long Chainlit keeps the session of a page that is closed
TEST_COUNTS                a file; on SIGUSR2 the web process writes there how many objects of each type live, as JSON

It also saves `chainlit run` a tenth of its start: nothing is searched for garbage before `app.py` begins.
"""

import contextlib
import gc
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any


def move_clock(seconds: float) -> None:
    real = time.time
    real_ns = time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)


def follow_clock_file(path: Path) -> None:
    real, real_ns, look_seconds = time.time, time.time_ns, 0.05
    ahead, looked_at = 0.0, -look_seconds

    def seconds_ahead() -> float:
        nonlocal ahead, looked_at
        if time.monotonic() - looked_at >= look_seconds:
            looked_at = time.monotonic()
            with contextlib.suppress(OSError, ValueError):  # it is being written
                ahead = float(path.read_text())
        return ahead

    time.time = lambda: real() + seconds_ahead()
    time.time_ns = lambda: real_ns() + int(seconds_ahead() * 1e9)


def kill_after_step(context: ModuleType, wish: Path) -> None:
    run_step = context.JobContext.step

    async def step(self: Any, step_path: str, *arguments: Any, **options: Any) -> Any:
        output = await run_step(self, step_path, *arguments, **options)
        if wish.exists() and wish.read_text() == step_path:
            wish.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return output

    context.JobContext.step = step


def shorten_sessions(config: ModuleType, seconds: int) -> None:
    config.config.project.session_timeout = seconds


def count_objects(target: Path) -> None:
    gc.collect()
    counts = Counter(f"{type(one).__module__}.{type(one).__name__}" for one in gc.get_objects())
    beside = target.with_suffix(".new")
    beside.write_text(json.dumps(counts))
    beside.replace(target)


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls `change` with the module `name` as soon as it is imported."""

    def __init__(self, name: str, change: Any) -> None:
        self._name = name
        self._change = change

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            self._change(module)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]  # this one loader only
        return spec


if any(Path(argument).name == "chainlit" for argument in sys.orig_argv[1:2]):
    gc.disable()  # starting.py enables it again
if ahead := os.environ.get("TEST_CLOCK_AHEAD_SECONDS"):
    move_clock(float(ahead))
if clock := os.environ.get("TEST_CLOCK_FILE"):
    follow_clock_file(Path(clock))
if chosen := os.environ.get("TEST_KILL_AFTER_STEP"):
    sys.meta_path.insert(0, AfterImport("jobs.context", lambda module: kill_after_step(module, Path(chosen))))
if seconds := os.environ.get("TEST_SESSION_SECONDS"):
    sys.meta_path.insert(0, AfterImport("chainlit.config", lambda module: shorten_sessions(module, int(seconds))))
if target := os.environ.get("TEST_COUNTS"):
    signal.signal(signal.SIGUSR2, partial(lambda path, *_: count_objects(path), Path(target)))
