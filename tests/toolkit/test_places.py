"""Tools that run in processes of their own take fair turns: nobody's many calls hold up another's first one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from background import cancel_and_wait
from names import SHARED_USER
from tests.toolkit.conftest import SAMPLE_TOOLS
from tests.toolkit.recording import ORIGIN, RecordingHandler
from tests.waiting import until
from toolkit.handler import CallContext
from toolkit.places import Places
from toolkit.pool import HostPool

ADA, BOB = replace(ORIGIN, user="ada"), replace(ORIGIN, user="bob")


class Calls:
    """Calls that want a place, by name; a call ends when it is told to."""

    def __init__(self, limit: int) -> None:
        self._places = Places(limit)
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.running: list[str] = []
        self.waiting: list[str] = []

    async def begin(self, *names: str) -> None:
        """The first letter of a name is its owner."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._run(name))
            await _settled()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await _settled()

    async def cancel(self, name: str) -> None:
        await cancel_and_wait(self._tasks[name])
        await _settled()

    async def _run(self, name: str) -> None:
        async def wait() -> None:
            self.waiting.append(name)

        async def go_on() -> None:
            self.waiting.remove(name)

        with contextlib.suppress(asyncio.CancelledError):
            async with self._places.taken(name[0], on_wait=wait, on_given=go_on):
                self.running.append(name)
                await self._ends[name].wait()
        for names in (self.running, self.waiting):
            if name in names:
                names.remove(name)


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_last_place_is_kept_for_whoever_runs_nothing() -> None:
    calls = Calls(3)
    await calls.begin("a1", "a2", "a3")
    assert (calls.running, calls.waiting) == (["a1", "a2"], ["a3"])
    await calls.begin("b1")
    assert (calls.running, calls.waiting) == (["a1", "a2", "b1"], ["a3"])


async def test_a_free_place_goes_to_whoever_runs_the_fewest() -> None:
    calls = Calls(3)
    await calls.begin("a1", "a2", "b1", "a3", "b2", "c1")
    await calls.end("a1")
    assert calls.running == ["a2", "b1", "c1"]
    await calls.end("c1")
    assert calls.running == ["a2", "b1"], "those who wait run one each: the last place is kept"
    await calls.end("a2")
    assert calls.running == ["b1", "a3"]


async def test_of_equals_the_one_who_has_waited_longest_is_next() -> None:
    calls = Calls(2)
    await calls.begin("a1", "b1", "d1", "c1")
    await calls.end("a1")
    assert calls.running == ["b1", "d1"]
    await calls.end("b1")
    assert calls.running == ["d1", "c1"]


async def test_a_single_place_is_for_everybody_in_turn() -> None:
    calls = Calls(1)
    await calls.begin("a1", "a2", "b1")
    assert calls.running == ["a1"]
    await calls.end("a1")
    assert calls.running == ["a2"]
    await calls.end("a2")
    assert calls.running == ["b1"]


@pytest.mark.parametrize("left", ["b1", "a1"])
async def test_a_cancelled_call_leaves_its_place_or_its_turn(left: str) -> None:
    calls = Calls(1)
    await calls.begin("a1", "b1", "c1")
    await calls.cancel(left)
    await calls.end("a1")
    assert calls.running == (["c1"] if left == "b1" else ["b1"])
    await calls.end(calls.running[0])
    await calls.begin("e1")
    assert "e1" in calls.running or calls.waiting == ["e1"]


@pytest_asyncio.fixture
async def small_pool() -> AsyncIterator[HostPool]:
    """Of two processes for tools."""
    async with HostPool([SAMPLE_TOOLS], process_limit=2) as pool:
        yield pool


def of_thread(thread: str) -> CallContext:
    return replace(ORIGIN, user=SHARED_USER, thread_id=thread)


@pytest.mark.parametrize(("many", "other"), [(ADA, BOB), (of_thread("one"), of_thread("two"))])
async def test_a_tool_runs_at_once_however_many_of_another_user_or_conversation_do(
    small_pool: HostPool, many: CallContext, other: CallContext
) -> None:
    handlers = [RecordingHandler() for _ in range(3)]
    calls = [asyncio.create_task(small_pool.call("wait_in_process", {}, many, one)) for one in handlers]
    await until(lambda: handlers[0].said("waiting"), within=30, what="the first works")
    assert await small_pool.call("in_process", {"number": 1}, other, RecordingHandler())
    assert [one.waits for one in handlers] == [[], ["waits"], ["waits"]]
    assert not any(call.done() for call in calls)

    await cancel_and_wait(calls[0])
    await until(lambda: handlers[1].said("waiting"), within=30, what="the second works")
    assert [one.waits for one in handlers] == [[], ["waits", "goes on"], ["waits"]]
    await cancel_and_wait(*calls)


async def test_a_waiting_call_that_is_stopped_in_the_moment_in_which_a_place_becomes_free_disturbs_nobody() -> None:
    places, leave = Places(1), asyncio.Event()

    async def nothing() -> None: ...

    async def call() -> None:
        async with places.taken("ada", on_wait=nothing, on_given=nothing):
            await leave.wait()

    running, waiting = asyncio.create_task(call()), asyncio.create_task(call())
    await _settled()
    leave.set()
    waiting.cancel()  # the running call wakes first, and leaves
    results = await asyncio.gather(running, waiting, return_exceptions=True)
    assert results[0] is None
