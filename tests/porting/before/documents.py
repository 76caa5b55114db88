"""Questions on a text file, in plain Chainlit."""

from pathlib import Path

import chainlit as cl
from openai import AsyncOpenAI

client = AsyncOpenAI()


def passages(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def best(question: str, found: list[str]) -> str:
    words = set(question.lower().split())
    return max(found, key=lambda passage: len(words & set(passage.lower().split())))


@cl.on_chat_start
async def start() -> None:
    files = None
    while files is None:
        files = await cl.AskFileMessage(content="Upload a text to begin.", accept=["text/plain"]).send()
    text = await cl.make_async(Path(files[0].path).read_text)()
    cl.user_session.set("name", files[0].name)
    cl.user_session.set("passages", passages(text))
    await cl.Message(content=f"I have read {files[0].name}. Ask me.").send()


@cl.on_message
async def answer(message: cl.Message) -> None:
    passage = best(message.content, cl.user_session.get("passages"))
    name = cl.user_session.get("name")
    said = cl.Message(content="", elements=[cl.Text(name=name, content=passage, display="side")])
    stream = await client.chat.completions.create(
        model="gpt-5-mini",
        messages=[
            {"role": "system", "content": f"Answer from this passage of {name}:\n\n{passage}"},
            {"role": "user", "content": message.content},
        ],
        stream=True,
    )
    async for chunk in stream:
        await said.stream_token(chunk.choices[0].delta.content or "")
    await said.update()
