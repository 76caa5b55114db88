"""Agents for tests."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

from toolkit import AgentContext, Call, Message, SyncAgentContext, ToolError, agent


def script(text: str) -> list[Message]:
    """What the endpoint is asked to do."""
    return [{"role": "user", "content": text}]


@agent
async def shout(ctx: AgentContext) -> AsyncIterator[str]:
    """A plain generator of text."""
    for word in ctx.text.split():
        yield word.upper() + " "


@agent
def blocking(ctx: AgentContext, seconds: float = 0.0) -> str:
    """Blocks its thread, and returns a string."""
    time.sleep(seconds)
    return f"slept, {ctx.text}"


@agent
def lines(ctx: SyncAgentContext) -> Iterator[str]:
    """A generator in a thread."""
    reply = ctx.generate(messages=script("tokens=2"), show=False)
    yield from ["[", reply.text.strip(), "]"]


@agent
async def editor(ctx: AgentContext) -> None:
    """Writes and publishes."""
    draft = await ctx.generate("Write.", show=False)
    said = await ctx.call("echo", text=draft.text)
    ctx.write(f"Published: {said}")


@agent(tools=["echo"])
async def support(ctx: AgentContext, tone: Literal["brief", "full"] = "brief") -> None:
    """Answers in a tone, by itself the loop of an assistant."""
    while (reply := await ctx.generate(f"Be {tone}.")).calls:
        await ctx.run(reply.calls)


@agent
async def composing(ctx: AgentContext) -> None:
    """Keeps the conversation itself."""
    messages: list[Message] = script(ctx.text)
    while (reply := await ctx.generate(messages=messages, tools=["echo"])).calls:
        for call, result in zip(reply.calls, await ctx.run(reply.calls), strict=True):
            function = {"name": call.name, "arguments": json.dumps(call.arguments)}
            calls = [{"id": call.id, "type": "function", "function": function}]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
            messages.append({"role": "tool", "tool_call_id": call.id, "content": str(result)})


@agent
async def delegating(ctx: AgentContext) -> None:
    """Has another agent answer."""
    ctx.write(f"It said: {await ctx.call('shout', text=ctx.text)}")


@agent
async def endless(ctx: AgentContext) -> None:
    """Calls itself."""
    await ctx.call("endless", text="again")


@agent
async def failing(ctx: AgentContext) -> None:
    """Writes, then fails."""
    ctx.write("so far")
    raise ToolError("The desk is closed today.")


@agent
async def crashing(ctx: AgentContext) -> None:
    """Ends its process."""
    os._exit(3)


@agent
async def forgetful(ctx: AgentContext) -> None:
    """Does not await its model."""
    ctx.respond()  # type: ignore[unused-coroutine]


@agent
async def waiting(ctx: AgentContext) -> None:
    """Gives up on a model that takes long, and asks another time."""
    try:
        async with asyncio.timeout(0.3):
            await ctx.generate(messages=script("tokens=90 rate=5"), show=False)
    except TimeoutError:
        ctx.write("Too slow. ")
    await ctx.generate(messages=script("tokens=1"))


@agent
async def talking(ctx: AgentContext) -> None:
    """Talks without end."""
    while True:
        ctx.write("word " * 20)
        await asyncio.sleep(0)


@agent
async def told(ctx: AgentContext) -> None:
    """Says what it knows."""
    await ctx.run([Call("echo", text="found")])
    said = [(message["role"], message["content"]) for message in ctx.messages]
    ctx.write(json.dumps({"said": said, "text": ctx.text, "now": ctx.now.timestamp(), "tools": sorted(ctx.tools)}))


@agent
async def reporting(ctx: AgentContext) -> None:
    """Shows a plan, progress, a source and a file."""
    ctx.plan(["Read", "Write"], at=1)
    ctx.report_progress(1, 2, "half")
    ctx.source("A page", url="https://example.org/")
    ctx.log("info", "at work")
    await ctx.save_artifact("note.txt", b"hello")
    ctx.write("done")


@agent
async def programmed(ctx: AgentContext, folder: str = "") -> None:
    """Does what the message says: a list of [operation, argument]."""
    for number, (operation, argument) in enumerate(json.loads(ctx.text)):
        await _do(ctx, number, operation, argument, Path(folder))


async def _do(  # noqa: C901 - one case for each operation
    ctx: AgentContext, number: int, operation: str, argument: int, folder: Path
) -> None:
    async def noted() -> int:
        await asyncio.sleep(0.01 * argument)
        with (folder / f"{number}.txt").open("a") as file:
            file.write("x")
        return argument

    async def part(item: int) -> str:
        reply = await ctx.generate(messages=script(f"tokens={item + 1} rate=200"))
        return reply.text

    match operation:
        case "write":
            for word in range(argument):
                ctx.write(f"t{number}.{word} ")
                await asyncio.sleep(0.005)
        case "generate":
            await ctx.generate(messages=script(f"tokens={argument} rate=200"))
        case "hidden":
            reply = await ctx.generate(messages=script(f"tokens={argument} rate=200"), show=False)
            ctx.write(f"<{reply.text.strip()}>")
        case "step":
            ctx.write(f"({await ctx.step(f'note {argument}', noted)})")
        case "call":
            ctx.write(str(await ctx.call("echo", text=f"e{argument}")))
        case "map":
            ctx.write("|".join(await ctx.map(range(argument), part, limit=2)))
        case "die":
            await _die_once(folder / f"died-{number}")


async def _die_once(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        await asyncio.sleep(0.02)
        os._exit(7)


@agent
async def changed(ctx: AgentContext, folder: str = "") -> None:
    """Its code changes between two attempts."""
    version = (Path(folder) / "version").read_text()
    if version == "1":
        await ctx.generate("First prompt.", messages=script("tokens=1"))
    elif version == "2":
        await ctx.generate("Second prompt.", messages=script("tokens=1"))
    else:
        await ctx.call("echo", text="other")
    await ctx.generate(messages=script("tokens=40 rate=20" if version == "1" else "tokens=1"), show=False)


@agent
async def precise(ctx: AgentContext) -> None:
    """Asks with parameters of its own."""
    form = {"type": "json_object"}
    await ctx.generate(parameters={"temperature": 0, "response_format": form, "stop": ["END"], "seed": 3})


@agent
async def dying(ctx: AgentContext, folder: str = "") -> None:
    """Ends its process in the middle of a text, behind a checkpoint."""
    mark = Path(folder) / "died"
    await ctx.step("one", _one)
    ctx.write("one ")
    if not mark.exists():
        await _until_written(folder)
        mark.touch()
        os._exit(7)
    ctx.write("two ")


@agent
async def stumbling(ctx: AgentContext, folder: str = "") -> None:
    """Fails once in the middle of a text."""
    mark = Path(folder) / "failed"
    ctx.write("one ")
    if not mark.exists():
        mark.touch()
        raise ToolError("This went wrong.")
    ctx.write("two ")


async def _one() -> int:
    return 1


async def _until_written(folder: str) -> None:
    """Until the test has seen the text in the log."""
    while not (Path(folder) / "written").exists():  # noqa: ASYNC110 - the test is in another process
        await asyncio.sleep(0.01)
