"""Reads Server-Sent Events as a client would, and cuts where it is told to."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

TERMINAL = {"job.completed", "job.failed", "job.cancelled", "job.incomplete"}


@dataclass(frozen=True, kw_only=True)
class Event:
    id: str | None
    name: str | None
    data: Any
    comment: str | None


def parse(block: str) -> Event:
    fields: dict[str, str] = {}
    for line in block.splitlines():
        name, _, value = line.partition(":")
        fields[name or "comment"] = value.removeprefix(" ")
    data = fields.get("data")
    loaded = data if data in {None, "[DONE]"} else json.loads(data or "")
    return Event(id=fields.get("id"), name=fields.get("event"), data=loaded, comment=fields.get("comment"))


async def events_of(response: httpx.Response, *, comments: bool = False) -> AsyncIterator[Event]:
    waiting = ""
    async for text in response.aiter_text():
        *blocks, waiting = (waiting + text).split("\n\n")
        for event in map(parse, blocks):
            if comments or event.data is not None:
                yield event


async def follow(
    client: httpx.AsyncClient, job_id: str, *, after: int | None = None, at_most: int | None = None
) -> list[Event]:
    """The job's events to the end of the stream, or the first so many and then a cut."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    got: list[Event] = []
    async with client.stream("GET", f"/api/jobs/{job_id}/events", headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        async with contextlib.aclosing(events_of(response)) as events:  # type: ignore[type-var]
            async for event in events:
                got.append(event)
                if len(got) == at_most:
                    break
    return got


def text_of(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "text.delta")
