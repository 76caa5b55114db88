"""Worker processes as children: how they are started, and how they end."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable
from pathlib import Path

WORKER = (sys.executable, str(Path(__file__).parent.parent / "worker.py"), "--supervised")
KILL_SECONDS = 3.0
"""The time after the drain until a worker that has not ended is killed."""


async def start(*command: str) -> Process:
    """Starts a worker in its own session, so that Ctrl-C reaches only us. Its stdin ends when we end, even by SIGKILL.

    Raises `OSError` when there is no memory or no process left.
    """
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, start_new_session=True)


async def end(children: Iterable[Process], *, drain_seconds: float) -> None:
    """SIGTERM drains the workers. Those that do not end in time are killed; other workers continue their jobs."""
    running = [child for child in children if child.returncode is None]
    for child in running:
        child.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(drain_seconds + KILL_SECONDS):
            await asyncio.gather(*(child.wait() for child in running))
    except TimeoutError:
        for child in running:
            if child.returncode is None:
                child.kill()
                await child.wait()
