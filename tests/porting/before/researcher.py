"""An agent of several steps, with a plan and a chart, in plain Chainlit."""

import asyncio

import chainlit as cl
import plotly.graph_objects as go
from openai import AsyncOpenAI

client = AsyncOpenAI()
PARTS = ["history", "price", "risks"]


async def ask(text: str) -> str:
    reply = await client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": text}])
    return reply.choices[0].message.content or ""


@cl.step(type="run")
async def look_into(part: str, subject: str) -> str:
    return await ask(f"Write one paragraph about the {part} of {subject}.")


@cl.on_message
async def answer(message: cl.Message) -> None:
    plan = cl.TaskList()
    look = cl.Task(title="Look into its parts", status=cl.TaskStatus.RUNNING)
    write = cl.Task(title="Write the report")
    await plan.add_task(look)
    await plan.add_task(write)
    await plan.send()
    subject = message.content.partition(",")[0]
    found = await asyncio.gather(*[look_into(part, subject) for part in PARTS])
    look.status, write.status = cl.TaskStatus.DONE, cl.TaskStatus.RUNNING
    await plan.send()
    chart = go.Figure(go.Bar(x=PARTS, y=[len(text.split()) for text in found]))
    notes = "\n\n".join(found)
    report = await ask(f"{message.content}\n\nMake a report of these notes:\n\n{notes}")
    write.status = cl.TaskStatus.DONE
    await plan.send()
    elements = [cl.Plotly(name="words", figure=chart), cl.File(name="report.md", content=report.encode())]
    await cl.Message(content=report, elements=elements).send()
