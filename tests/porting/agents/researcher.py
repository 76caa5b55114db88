"""An agent of several steps, with a plan and a chart."""

import json

from toolkit import AgentContext, Message, agent

PARTS = ["history", "price", "risks"]
PLAN = ["Look into its parts", "Write the report"]


@agent
async def researcher(ctx: AgentContext) -> None:
    """Reports on a subject, part by part: "Tea, for children"."""
    subject = ctx.text.partition(",")[0]

    async def look_into(part: str) -> str:
        asked: Message = {"role": "user", "content": f"Write one paragraph about the {part} of {subject}."}
        return (await ctx.generate(messages=[asked], tools=[], show=False)).text

    ctx.plan(PLAN, at=0)
    found = await ctx.map(PARTS, look_into)
    ctx.plan(PLAN, at=1)
    bars = {"type": "bar", "x": PARTS, "y": [len(text.split()) for text in found]}
    await ctx.save_artifact("words.plotly.json", json.dumps({"data": [bars], "layout": {}}).encode())
    notes = "\n\n".join(found)
    report = await ctx.generate(f"Make a report of these notes:\n\n{notes}", tools=[])
    await ctx.save_artifact("report.md", report.text.encode())
    ctx.plan(PLAN, at=len(PLAN))
