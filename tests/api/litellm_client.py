"""LiteLLM's client at both doors, with a tool of the caller. Arguments: base URL, key, names of models. Prints JSON."""
# It runs in an environment of its own.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches prices when it is imported

import litellm

base_url, api_key, *names = sys.argv[1:]
ACCESS = {"api_base": base_url, "api_key": api_key, "max_retries": 0}
SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
LOOK_UP = {"name": "look_up", "description": "Look up.", "parameters": SCHEMA}
ASKS = 'say=1 call look_up {"word": "sea"} tokens=2'


def chat(model: str, *, stream: bool) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": ASKS}]

    def answer() -> Any:
        asked = {"model": model, "messages": messages, "tools": [{"type": "function", "function": LOOK_UP}], **ACCESS}
        if not stream:
            return litellm.completion(**asked)
        chunks = list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
        return litellm.stream_chunk_builder(chunks, messages=messages)

    first = answer()
    message = first.choices[0].message
    [call] = message.tool_calls
    messages += [message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "wet"}]
    second = answer()
    return {
        "said": message.content,
        "reason": first.choices[0].finish_reason,
        "arguments": call.function.arguments,
        "text": second.choices[0].message.content,
        "tokens": second.usage.completion_tokens,
    }


def responses(model: str, *, stream: bool) -> dict[str, Any]:
    def answer(**asked: Any) -> Any:
        tools = [{"type": "function", "strict": False, **LOOK_UP}]
        answered = litellm.responses(model=model, tools=tools, stream=stream, **asked, **ACCESS)
        return list(answered)[-1].response if stream else answered

    first = answer(input=ASKS)
    message, call = first.output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "wet"}
    second = answer(input=[result], previous_response_id=first.id)
    sent_again = [{"role": "user", "content": ASKS}, message.model_dump(), call.model_dump(), result]
    return {
        "said": message.content[0].text,
        "arguments": call.arguments,
        "text": second.output_text,
        "sent again": answer(input=sent_again).output_text,
        "tokens": second.usage.output_tokens,
    }


async def waited(model: str) -> list[str]:
    messages = [{"role": "user", "content": "tokens=3 hang=0.5@2"}]
    whole = await litellm.acompletion(model=model, messages=messages, **ACCESS)
    chunks = await litellm.acompletion(model=model, messages=messages, stream=True, **ACCESS)
    streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
    return [whole.choices[0].message.content, streamed]


async def in_background(model: str) -> list[Any]:
    access = {**ACCESS, "custom_llm_provider": "openai"}
    begun = await litellm.aresponses(model=model, input="tokens=6 rate=30", background=True, **ACCESS)
    async with asyncio.timeout(30):
        while (found := await litellm.aget_responses(response_id=begun.id, **access)).status != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    gone = await litellm.adelete_responses(response_id=begun.id, **access)
    return [begun.status in ("queued", "in_progress"), found.output_text, gone.deleted]


def failure(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001  # its type is what is looked at
        return type(error).__name__
    return None


def failures(model: str) -> list[str | None]:
    def ask(text: str, **changed: Any) -> Any:
        asked = {"model": model, "messages": [{"role": "user", "content": text}], **ACCESS, **changed}
        return litellm.completion(**asked)

    return [
        failure(lambda: ask("tokens=1", model="openai/gpt-99")),
        failure(lambda: ask("tokens=1", api_key="wrong")),
        failure(lambda: list(ask("tokens=4 error=2 rate=20", stream=True))),
    ]


async def main() -> None:
    litellm.suppress_debug_info = True
    runs: dict[str, Any] = {}
    for name in names:
        model = f"openai/{name}"
        for door in (chat, responses):
            for how in ("whole", "streamed"):
                runs[f"{door.__name__}, {name}, {how}"] = asyncio.to_thread(door, model, stream=how == "streamed")
        runs[f"waited, {name}"] = waited(model)
        runs[f"in background, {name}"] = in_background(model)
    seen = dict(zip(runs, await asyncio.gather(*runs.values()), strict=True))
    # Afterwards: the client wraps whatever goes wrong in its own threads, its late imports too, as a failure of ours.
    print(json.dumps({**seen, "failures": failures(f"openai/{names[0]}")}))  # noqa: T201


asyncio.run(main())
