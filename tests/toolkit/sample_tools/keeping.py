"""Tools that stop early, keep files and ask the model."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from toolkit import AsyncToolContext, ToolContext, ToolIncomplete, tool


@tool
def ask(ctx: ToolContext, questions: list[str]) -> list[list[Any]]:
    """Ask the model each question, one after the other."""
    ctx.limit_rate(requests_per_minute=600)
    answers = [ctx.complete("say", question) for question in questions]
    return [[answer, answer.input_tokens, answer.output_tokens] for answer in answers]


@tool
async def ask_async(ctx: AsyncToolContext, questions: list[str]) -> list[list[Any]]:
    """Ask the model each question, one after the other."""
    await ctx.limit_rate(requests_per_minute=600)
    answers = [await ctx.complete("say", question) for question in questions]
    return [[answer, answer.input_tokens, answer.output_tokens] for answer in answers]


def spend(ctx: ToolContext, rows: int, budget: int) -> int:
    done = 0
    for row in range(rows):
        if done == budget:
            raise ToolIncomplete(f"the budget of {budget} rows is used up", {"rows": done})
        done += ctx.step(f"row {row}", lambda: 1)
    return done


@tool
def spend_in_thread(ctx: ToolContext, rows: int, budget: int) -> int:
    """Do rows up to a budget."""
    return spend(ctx, rows, budget)


@tool(run_in="process")
def spend_in_process(ctx: ToolContext, rows: int, budget: int) -> int:
    """Do rows up to a budget."""
    return spend(ctx, rows, budget)


@tool
async def spend_on_loop(ctx: AsyncToolContext, rows: int, budget: int) -> int:
    """Do rows up to a budget."""

    async def one() -> int:
        return 1

    done = 0
    for row in range(rows):
        if done == budget:
            raise ToolIncomplete(f"the budget of {budget} rows is used up", {"rows": done})
        done += await ctx.step(f"row {row}", one)
    return done


@tool
def stop_with_too_much(ctx: ToolContext) -> None:
    """Stop with a result that cannot leave."""
    raise ToolIncomplete("it is enough", "x" * 10_000_000)


@tool
def map_under(ctx: ToolContext, key: str, items: list[int]) -> list[int]:
    """Double the items under a key."""
    return ctx.map(items, lambda item: item * 2, key=key)


@tool
async def map_under_async(ctx: AsyncToolContext, key: str, items: list[int]) -> list[int]:
    """Double the items under a key."""

    async def double(item: int) -> int:
        return item * 2

    return await ctx.map(items, double, key=key)


def leave_file(ctx: ToolContext | AsyncToolContext) -> list[Any]:
    place = ctx.scratch
    before = [entry.name for entry in place.iterdir()]
    (place / "deep").mkdir()
    (place / "deep" / "left.bin").write_bytes(b"x" * 1000)
    count = ctx.storage / "count"
    kept = int(count.read_text()) if count.exists() else 0
    count.write_text(str(kept + 1))
    return [str(place), before, oct(place.stat().st_mode & 0o777), kept]


@tool
def leave_in_thread(ctx: ToolContext, then: str = "return") -> list[Any]:
    """Leave a file in the scratch directory, then end as told."""
    return end(ctx, leave_file(ctx), then)


@tool(run_in="process")
def leave_in_process(ctx: ToolContext, then: str = "return") -> list[Any]:
    """Leave a file in the scratch directory, then end as told."""
    return [*end(ctx, leave_file(ctx), then), tempfile.gettempdir()]


@tool
async def leave_on_loop(ctx: AsyncToolContext) -> list[Any]:
    """Leave a file in the scratch directory."""
    return leave_file(ctx)


def end(ctx: ToolContext, left: list[Any], then: str) -> list[Any]:
    ctx.log("info", left[0])
    match then:
        case "die":
            os._exit(3)
        case "fail":
            raise RuntimeError
        case "hang":
            time.sleep(60)
    return left


@tool
def die_once(ctx: ToolContext, marks: str) -> list[str]:
    """Leave a file and end the process at the first run; say what the second finds."""
    found = [entry.name for entry in ctx.scratch.iterdir()]
    (ctx.scratch / "left").touch()
    ctx.log("info", str(ctx.scratch))
    with Path(marks).open("a") as file:
        file.write("ran\n")
    while not Path(marks).with_name("go").exists():
        time.sleep(0.005)
    if Path(marks).read_text().count("ran") == 1:
        os._exit(1)
    return found


@tool
def draw(ctx: ToolContext, names: list[str]) -> None:
    """Save an artifact under each name."""
    for name in names:
        ctx.save_artifact(name, b"{}")
