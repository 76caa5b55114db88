"""What authors read about their mistakes says where and what."""

import pytest

from toolkit import AsyncToolContext, ToolContext, ToolError, testing, tool
from toolkit.errors import NotJson


async def test_a_value_that_is_not_json_names_its_step() -> None:
    @tool
    def first(ctx: ToolContext) -> None:
        """Keeps an object."""
        ctx.step("load", object)

    @tool
    async def second(ctx: AsyncToolContext) -> None:
        """Keeps infinity."""

        async def infinite(item: int) -> float:
            return item * float("inf")

        await ctx.map([1], infinite, name="row")

    with pytest.raises(NotJson, match=r"^it contains a object, in the value of 'load'$"):
        await testing.run(first)
    with pytest.raises(NotJson, match=r"in the value of 'row 1 of 1'$"):
        await testing.run(second)


async def test_a_plain_function_as_a_step_of_an_async_tool_is_told_what_to_do() -> None:
    @tool
    async def mixed(ctx: AsyncToolContext) -> None:
        """Gives a lambda to step."""
        await ctx.step("count", lambda: 1)  # type: ignore[arg-type, return-value]

    with pytest.raises(ToolError, match=r"^the function of 'count' returned 1: make it `async def`, as its tool is$"):
        await testing.run(mixed)


async def test_a_mistake_with_the_context_is_a_sentence_for_the_person_who_runs_the_tool() -> None:
    @tool
    def twice(ctx: ToolContext) -> None:
        """Has two steps of one name."""
        ctx.step("load", int)
        ctx.step("load", int)

    with pytest.raises(ToolError, match="two steps are called 'load': a step's name is its checkpoint"):
        await testing.run(twice)
