"""Every door that answers a question, behind one face: ask, and see what came and how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.api.events import TERMINAL, events_of, follow, text_of

MODEL = "test-model"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    text: str
    error: str | None
    """The sentence; None: the answer is whole, or as long as the model's context allows."""
    raw: str
    """All that was sent last, to look for what should not be there."""


Ask = Callable[[httpx.AsyncClient, str], Awaitable[Outcome]]
Question = Callable[[str], tuple[str, dict[str, Any]]]
"""Words → address and body."""


def completion(text: str, *, stream: bool = False) -> tuple[str, dict[str, Any]]:
    question = {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": stream}
    return "/v1/chat/completions", question


def streamed_completion(text: str) -> tuple[str, dict[str, Any]]:
    return completion(text, stream=True)


def deep_chat(text: str) -> tuple[str, dict[str, Any]]:
    return "/chat-stream", {"messages": [{"role": "user", "text": text}]}


def streamed_response(text: str) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", {"model": MODEL, "input": text, "stream": True}


def whole_response(text: str) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", {"model": MODEL, "input": text}


async def ask_jobs(client: httpx.AsyncClient, text: str) -> Outcome:
    job = (await client.post("/api/jobs", json={"task": "chat", "input": text})).json()
    events = await follow(client, job["id"])
    last = events[-1]
    assert last.name in TERMINAL
    error = None if last.name in {"job.completed", "job.incomplete"} else last.data["error"]["message"]
    raw = " ".join(str(event.data) for event in events if event.name == "log" or event.name in TERMINAL)
    begins = [place for place, event in enumerate(events) if event.name == "step.started"]
    return Outcome(
        text=text_of(events[begins[-1] :]) if begins else "", error=error, raw=raw
    )  # each withdraws the text


async def ask_whole_completion(client: httpx.AsyncClient, text: str) -> Outcome:
    address, question = completion(text)
    answer = await client.post(address, json=question)
    body = answer.json()
    if answer.status_code != 200:
        return Outcome(text="", error=body["error"]["message"], raw=answer.text)
    return Outcome(text=body["choices"][0]["message"]["content"], error=None, raw="")


async def ask_streamed_completion(client: httpx.AsyncClient, text: str) -> Outcome:
    address, question = streamed_completion(text)
    async with client.stream("POST", address, json=question) as response:
        if response.status_code != 200:
            return await refused(response)
        *chunks, last = [event.data async for event in events_of(response)]
    if last != "[DONE]":
        return Outcome(text=_words(chunks), error=last["error"]["message"], raw=str(last))
    assert chunks[-1]["choices"][0]["finish_reason"] in {"stop", "length"}
    return Outcome(text=_words(chunks), error=None, raw="")


def _words(chunks: list[Any]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


async def ask_deep_chat(client: httpx.AsyncClient, text: str) -> Outcome:
    address, question = deep_chat(text)
    async with client.stream("POST", address, json=question) as response:
        if response.status_code != 200:
            return await refused(response)
        events = [event.data async for event in events_of(response)]
    error = events[-1].get("error")
    said = events[:-1] if error else events
    text = ""
    for event in said:
        text = event["text"] if event.get("overwrite") else text + event["text"]
    return Outcome(text=text, error=error, raw=str(error))


async def ask_streamed_response(client: httpx.AsyncClient, text: str) -> Outcome:
    address, question = streamed_response(text)
    async with client.stream("POST", address, json=question) as response:
        if response.status_code != 200:
            return await refused(response)
        events = [event.data async for event in events_of(response)]
    last = events[-1]
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    said = "".join(event["delta"] for event in deltas if event["item_id"] == deltas[-1]["item_id"])
    if last["type"] == "error":
        return Outcome(text=said, error=last["message"], raw=str(last))
    error = (
        None if last["type"] in {"response.completed", "response.incomplete"} else last["response"]["error"]["message"]
    )
    return Outcome(text=said, error=error, raw=str(last["response"]["error"]))


async def refused(response: httpx.Response) -> Outcome:
    await response.aread()
    error = response.json()["error"]
    return Outcome(text="", error=error if isinstance(error, str) else error["message"], raw=response.text)


DOORS: dict[str, Ask] = {
    "jobs": ask_jobs,
    "streamed completion": ask_streamed_completion,
    "whole completion": ask_whole_completion,
    "deep chat": ask_deep_chat,
    "streamed response": ask_streamed_response,
}
LEAVABLE: dict[str, Question] = {
    "streamed completion": streamed_completion,
    "whole completion": completion,
    "deep chat": deep_chat,
    "streamed response": streamed_response,
    "whole response": whole_response,
}
"""Doors whose callers stop the job by leaving."""
