"""The peer: a chat as Chainlit's own documentation writes it. Nothing of it outlives the process."""

import chainlit as cl
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="bench-model")  # key and address from the environment


@cl.on_message  # type: ignore[untyped-decorator]  # Chainlit is not typed
async def answer(message: cl.Message) -> None:  # noqa: ARG001  # it is in the context already
    reply = cl.Message(content="")
    async for chunk in model.astream(cl.chat_context.to_openai()):
        await reply.stream_token(chunk.text)
    await reply.update()
