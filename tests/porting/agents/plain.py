"""No framework: a generator of text, and a function that blocks."""

import time
from collections.abc import AsyncIterator

from toolkit import AgentContext, SyncAgentContext, agent


@agent
async def spell(ctx: AgentContext) -> AsyncIterator[str]:
    """Spells the answer of a model, as a plain generator."""
    reply = await ctx.generate(show=False)
    for letter in reply.text.strip():
        yield f"{letter}."


@agent
def wait(ctx: SyncAgentContext, seconds: float = 0.01) -> str:
    """Blocks its thread, as `cl.make_async` was for."""
    reply = ctx.generate(show=False)
    time.sleep(seconds)
    return f"Waited, and then: {reply.text}"
