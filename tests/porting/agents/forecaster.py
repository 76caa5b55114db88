"""A streaming chat with a tool."""

from typing import Literal

from toolkit import AgentContext, agent

TONES = {"brief": "Answer in one sentence.", "full": "Answer in full."}


@agent(tools=["weather"], starters=["Do I need an umbrella in Rome?"])
async def forecaster(ctx: AgentContext, tone: Literal["brief", "full"] = "brief") -> None:
    """Knows the weather."""
    await ctx.respond(TONES[tone])
