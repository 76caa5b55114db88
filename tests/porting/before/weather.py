"""A streaming chat with a tool, in plain Chainlit."""

import json
from typing import Any

import chainlit as cl
from chainlit.input_widget import Select
from openai import AsyncOpenAI

client = AsyncOpenAI()
TONES = {"brief": "Answer in one sentence.", "full": "Answer in full."}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Look up the weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@cl.step(type="tool")
async def weather(city: str) -> str:
    return f"It rains in {city}."


@cl.set_starters
async def starters() -> list[cl.Starter]:
    return [cl.Starter(label="Rome", message="Do I need an umbrella in Rome?")]


@cl.on_chat_start
async def start() -> None:
    cl.user_session.set("history", [])
    await cl.ChatSettings([Select(id="tone", label="Tone", values=list(TONES))]).send()


@cl.on_message
async def answer(message: cl.Message) -> None:
    history = cl.user_session.get("history")
    history.append({"role": "user", "content": message.content})
    tone = cl.user_session.get("chat_settings")["tone"]
    while True:
        said = cl.Message(content="")
        calls: dict[int, Any] = {}
        stream = await client.chat.completions.create(
            model="gpt-5-mini",
            messages=[{"role": "system", "content": TONES[tone]}, *history],
            tools=[WEATHER],
            stream=True,
        )
        async for chunk in stream:
            delta = chunk.choices[0].delta
            await said.stream_token(delta.content or "")
            for part in delta.tool_calls or []:
                call = calls.setdefault(part.index, {"id": part.id, "name": part.function.name, "arguments": ""})
                call["arguments"] += part.function.arguments or ""
        await said.update()
        asked = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
            for c in calls.values()
        ]
        history.append({"role": "assistant", "content": said.content, **({"tool_calls": asked} if asked else {})})
        if not asked:
            return
        for call in calls.values():
            result = await weather(**json.loads(call["arguments"]))
            history.append({"role": "tool", "tool_call_id": call["id"], "content": result})
