"""A map tells how many of its parts are finished, also after a crash, when some of them are read back."""

import asyncio
import itertools

import pytest

from toolkit import AsyncToolContext, ToolContext, testing, tool
from toolkit.testing import Run

PARTS = 6


@tool
def in_threads(ctx: ToolContext) -> list[int]:
    """Double numbers."""
    return ctx.map(range(PARTS), lambda number: number * 2, limit=2)


@tool
async def on_loop(ctx: AsyncToolContext) -> list[int]:
    """Double numbers."""

    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    return await ctx.map(range(PARTS), double, limit=2)


@tool
def counting(ctx: ToolContext) -> list[int]:
    """Double numbers, and count the parts by itself."""
    counter = itertools.count(1)

    def double(number: int) -> int:
        ctx.report_progress(next(counter), PARTS, "doubling")
        return number * 2

    return ctx.map(range(PARTS), double, limit=1)


@tool
def in_stages(ctx: ToolContext) -> list[int]:
    """Double numbers in the second of three stages."""
    ctx.report_progress(1, 3, "Doubling")
    doubled = ctx.map(range(PARTS), lambda number: number * 2)
    ctx.report_progress(3, 3, "Doubled")
    return doubled


@tool
def within(ctx: ToolContext) -> list[int]:
    """Double numbers in parts of a part."""
    return ctx.step("double", lambda: ctx.map(range(PARTS), lambda number: number * 2))


def reported(run: Run) -> list[float]:
    return [done for done, total, _ in run.progress if total == PARTS]


@pytest.mark.parametrize("double", [in_threads, on_loop])
async def test_each_finished_part_is_told(double: object) -> None:
    run = await testing.run(double)  # type: ignore[arg-type]
    told = reported(run)
    assert told == sorted(told)
    assert set(told) == set(range(1, PARTS + 1))


@pytest.mark.parametrize("finished", range(1, PARTS))
@pytest.mark.parametrize("double", [in_threads, on_loop, counting])
async def test_after_a_crash_the_count_goes_on_where_it_was(double: object, finished: int) -> None:
    run = await testing.run(double, crash_after=finished)  # type: ignore[arg-type]
    told = reported(run)
    assert told == sorted(told)
    assert told[0] >= finished
    assert told[-1] == PARTS


@pytest.mark.parametrize(("of", "stages"), [(in_stages, [(1, 3, "Doubling"), (3, 3, "Doubled")]), (within, [])])
async def test_who_has_another_scale_is_not_interrupted(of: object, stages: list[object]) -> None:
    assert (await testing.run(of)).progress == stages  # type: ignore[arg-type]
