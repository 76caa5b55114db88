"""OpenAI's Agents SDK with a tool that it runs itself. Arguments: base URL, key, model. Prints one line of JSON."""
# It runs in an environment of its own, whose `agents` is the SDK and not ours.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from openai import AsyncOpenAI

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)

base_url, api_key, model_name = sys.argv[1:]
DOORS = {"responses": OpenAIResponsesModel, "chat": OpenAIChatCompletionsModel}
BOTH = 'say=1 call look_up {"word": "sea"} & call look_up {"word": "sky"} tokens=2'
USAGE = ModelSettings(include_usage=True)


@function_tool
def look_up(word: str) -> str:
    """Look a word up."""
    return f"wet in {word}"


def new_agent(client: AsyncOpenAI, door: str, name: str, **options: Any) -> Agent[None]:
    model = DOORS[door](model=name, openai_client=client)
    return Agent(name="Ada", instructions="Be brief.", model=model, tools=[look_up], model_settings=USAGE, **options)


async def whole(agent: Agent[None]) -> dict[str, Any]:
    return told(await Runner.run(agent, BOTH))


async def streamed(agent: Agent[None]) -> dict[str, Any]:
    result = Runner.run_streamed(agent, BOTH)
    events, text = [], ""
    async for event in result.stream_events():
        if event.type == "run_item_stream_event":
            events.append(event.name)
        elif event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
    return {**told(result), "events": events, "streamed": text}


def told(result: Any) -> dict[str, Any]:
    outputs = [item.output for item in result.new_items if item.type == "tool_call_output_item"]
    usage = result.context_wrapper.usage
    return {
        "text": result.final_output,
        "outputs": outputs,
        "requests": usage.requests,
        "counted": usage.output_tokens > 0,
    }


async def chained(agent: Agent[None]) -> list[str]:
    first = await Runner.run(agent, BOTH, auto_previous_response_id=True)
    second = await Runner.run(agent, "tokens=3", previous_response_id=first.last_response_id)
    return [first.final_output, second.final_output]


async def handed_over(client: AsyncOpenAI, door: str) -> list[Any]:
    other = new_agent(client, door, model_name)
    first = new_agent(client, door, model_name, handoffs=[other])
    result = await Runner.run(first, 'call transfer_to_ada {} call look_up {"word": "sea"} tokens=1')
    return [result.final_output, result.last_agent is other]


async def main() -> None:
    set_tracing_disabled(True)
    async with AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0) as client:
        runs = {
            f"{door}, {name}, {how.__name__}": how(new_agent(client, door, name))
            for door in DOORS
            for name in (model_name, "assistant")
            for how in (whole, streamed)
        }
        runs |= {
            f"chained, {name}": chained(new_agent(client, "responses", name)) for name in (model_name, "assistant")
        }
        runs |= {f"handed over, {door}": handed_over(client, door) for door in DOORS}
        print(json.dumps(dict(zip(runs, await asyncio.gather(*runs.values()), strict=True))))  # noqa: T201


asyncio.run(main())
