"""OpenAI's client: the loop of an app that streams by itself."""

from toolkit import AgentContext, agent


@agent
async def loop(ctx: AgentContext) -> None:
    """Streams an answer with OpenAI's client, and counts its characters."""
    from toolkit.openai import openai_client

    client = openai_client(ctx)
    stream = await client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": ctx.text}], stream=True
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    ctx.write(f"({len(text)} characters)")
