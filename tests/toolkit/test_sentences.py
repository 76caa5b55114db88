"""What authors read about their mistakes says where and what."""

import pytest

from toolkit import AsyncToolContext, ToolContext, testing, tool
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

    with pytest.raises(NotJson, match="^it contains a object, in the value of 'load'$"):
        await testing.run(first)
    with pytest.raises(NotJson, match="in the value of 'row 1 of 1'$"):
        await testing.run(second)
