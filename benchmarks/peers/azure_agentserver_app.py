"""Run by the peer's own Python: `azure_agentserver_app.py PORT`. As its README shows it, without telemetry."""

import sys
from collections.abc import AsyncIterator
from typing import Any

from azure.ai.agentserver.responses import ResponsesAgentServerHost, ResponsesServerOptions, TextResponse
from openai import AsyncOpenAI

app = ResponsesAgentServerHost(
    options=ResponsesServerOptions(resilient_background=True), configure_observability=None, access_log=None
)
client = AsyncOpenAI()


@app.response_handler
async def answer(request: Any, context: Any, cancelled: Any) -> TextResponse:  # noqa: ARG001  # it must take three
    return TextResponse(context, request, text=tokens(await context.get_input_text()))


async def tokens(question: str) -> AsyncIterator[str]:
    stream = await client.chat.completions.create(
        model="bench-model", messages=[{"role": "user", "content": question}], stream=True
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
