"""Longhaul's models behind OpenAI's client, for code built on it: pydantic-ai, OpenAI Agents, an app's own loop.
For agents' authors."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from openai import AsyncOpenAI

from toolkit.agent_context import OWN, AgentContext, Reply
from toolkit.errors import ToolError

PATH = "/v1/chat/completions"
STREAMED = {"Content-Type": "text/event-stream"}


def openai_client(ctx: AgentContext, *, show: bool = True) -> AsyncOpenAI:
    """Returns an OpenAI client that has only chat completions, each of which is a checkpoint of the agent.

    show: whether the text streams into the answer. The model's name `default` means the one that the user chose.
    Parameters, such as `temperature`, are passed on.
    """
    http = httpx2.AsyncClient(transport=_Generating(ctx, show=show))
    return AsyncOpenAI(api_key="none", base_url="http://longhaul/v1", http_client=http, max_retries=0)


class _Generating(httpx2.AsyncBaseTransport):
    """Answers requests by `ctx.generate`: nothing leaves the process."""

    def __init__(self, ctx: AgentContext, *, show: bool) -> None:
        self._ctx = ctx
        self._show = show

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path != PATH:
            return _refusal(404, "openai_client(ctx) has chat completions only.")
        asked = json.loads(await request.aread())
        model = asked.get("model")
        try:
            reply = await self._ctx.generate(
                messages=asked["messages"],
                tools=asked.get("tools") or [],
                show=self._show,
                model=None if model == "default" else model,
                parameters={name: value for name, value in asked.items() if name not in OWN},
            )
        except ToolError as error:
            return _refusal(502, str(error))
        if asked.get("stream"):
            usage = asked.get("stream_options", {}).get("include_usage", False)
            return httpx2.Response(200, headers=STREAMED, content=_chunks(reply, model, usage=usage))
        choice = {"index": 0, "message": _message(reply), "finish_reason": reply.finish_reason}
        return httpx2.Response(200, json={**_envelope("", model), "choices": [choice], "usage": _usage(reply)})


def _refusal(status: int, message: str) -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"message": message, "type": "server_error", "code": None}})


def _envelope(kind: str, model: str | None) -> dict[str, Any]:
    return {"id": "chatcmpl", "object": f"chat.completion{kind}", "created": 0, "model": model}


def _message(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [
            {
                "index": index,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
            }
            for index, call in enumerate(reply.calls)
        ]
    return message


def _usage(reply: Reply) -> dict[str, int]:
    given, written = reply.input_tokens or 0, reply.output_tokens or 0
    return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}


def _chunks(reply: Reply, model: str | None, *, usage: bool) -> bytes:
    """Returns the whole reply as one piece, because the page has already streamed it."""
    envelope = _envelope(".chunk", model)
    sent: list[dict[str, Any]] = [
        {**envelope, "choices": [{"index": 0, "delta": _message(reply), "finish_reason": None}]},
        {**envelope, "choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}]},
    ]
    if usage:
        sent.append({**envelope, "choices": [], "usage": _usage(reply)})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in sent).encode() + b"data: [DONE]\n\n"
