"""pydantic-ai: an agent with a tool, over OpenAI's client."""

from toolkit import AgentContext, agent


@agent
async def typed(ctx: AgentContext) -> None:
    """Rolls dice, as an agent of pydantic-ai."""
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    from toolkit.openai import openai_client

    provider = OpenAIProvider(openai_client=openai_client(ctx))
    inner = Agent(OpenAIChatModel("default", provider=provider), instructions="You roll dice.")

    @inner.tool_plain
    async def roll(sides: int) -> int:
        """Roll a die."""

        async def four() -> int:
            return 4

        return await ctx.step(f"roll {sides}", four)

    await inner.run(ctx.text)
