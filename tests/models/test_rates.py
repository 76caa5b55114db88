"""Model calls a minute, shared by all workers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from models.rates import Gate, Rate, expected_tokens
from tests.endpoint import Endpoint
from tests.models.desk import Desk, open_desk, settings_for
from tests.waiting import until
from toolkit.pool import HostPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIFTY_MS = 1200  # requests a minute, one each


async def test_two_workers_share_what_a_rate_lets_through(offline: Desk) -> None:
    ctx = await offline.submit("hello")
    gates = [Gate(), Gate()]  # one for each process
    rate = Rate(bucket="shared", requests_per_minute=FIFTY_MS)
    begun = time.monotonic()
    await asyncio.gather(*(gate.enter(ctx, [rate], 1) for gate in gates for _ in range(4)))
    assert time.monotonic() - begun >= 7 * 0.05


async def test_one_that_gives_up_waiting_books_nothing_ahead(offline: Desk) -> None:
    ctx = await offline.submit("hello")
    gate, rate = Gate(), Rate(bucket="given-up", requests_per_minute=1)
    await gate.enter(ctx, [rate], 1)
    waiting = [asyncio.create_task(gate.enter(ctx, [rate], 1)) for _ in range(10)]

    async def one_has_booked() -> bool:
        return await ctx.reserve("given-up:requests:1", 0, 1) > 61

    await until(one_has_booked, within=30, what="the first that waits")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await ctx.reserve("given-up:requests:1", 1, 1) <= 120


async def test_tokens_that_were_not_used_are_given_back(offline: Desk) -> None:
    ctx = await offline.submit("hello")
    gate, rate = Gate(), Rate(bucket="tokens", tokens_per_minute=600)
    await gate.enter(ctx, [rate], 600)
    await gate.settle(ctx, [rate], expected=600, used=10)
    assert await ctx.reserve("tokens:tokens:600", 1, 600) < 2


async def test_chat_turns_count_and_do_not_wait(endpoint: Endpoint, tmp_path: Path, pool: HostPool) -> None:
    settings = settings_for(endpoint.url, requests_per_minute=1)
    async with open_desk(tmp_path, settings, pool) as desk:
        async with asyncio.timeout(30):
            for text in ("one", "two"):
                await desk.answer(text)
        ctx = await desk.submit("three")
        assert await ctx.reserve("endpoint:requests:1", 1, 1) > 60, "a tool's call waits for both"


async def test_without_limits_nothing_is_booked(offline: Desk) -> None:
    ctx = await offline.submit("hello")
    gate = Gate()
    await gate.enter(ctx, [Rate(bucket="free")], 10**9)
    await gate.settle(ctx, [Rate(bucket="free")], 10**9, 5)
    assert await ctx.reserve("free:tokens", 1, 1) == 0


async def test_the_expected_tokens_grow_with_the_words() -> None:
    assert expected_tokens("x" * 4000, "y" * 4000) > 2000


async def test_a_mistyped_rate_does_not_outlive_its_correction(offline: Desk) -> None:
    ctx = await offline.submit("hello")
    gate = Gate()
    await gate.enter(ctx, [Rate(bucket="typed", tokens_per_minute=1)], 5_000)
    async with asyncio.timeout(30):
        await gate.enter(ctx, [Rate(bucket="typed", tokens_per_minute=100_000)], 5_000)
