"""The loop that both processes run on, also where `chainlit run` has put asyncio's slow classes in."""

from __future__ import annotations

import subprocess
import sys

from tests.server import ROOT

PROBE = """
import nest_asyncio
nest_asyncio.apply()
import asyncio
from services import event_loop

event_loop.take_over()

async def main():
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()
    loop.call_soon_threadsafe(waiting.set_result, "done")
    kinds = [type(one).__module__ for one in (loop, asyncio.current_task(), waiting)]
    return [*kinds, await waiting]

print(*asyncio.run(main()))
"""


def test_a_loop_that_was_made_slow_is_a_fast_one_again() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.split() == ["uvloop", "_asyncio", "_asyncio", "done"], ended.stderr
