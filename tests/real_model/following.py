"""A job as a program follows it that resumes after each cut, and what its log must hold at its end."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.api.events import TERMINAL, events_of, follow
from tests.open_page import OpenPage
from tests.waiting import until

PATIENCE = 300
"""Above the longest answer that fits the model's context, on a machine that does other things as well."""


@dataclass(kw_only=True)
class FollowedJob:
    """A chat turn in a thread of its own, followed over the API and shown by an open page."""

    id: str
    client: httpx.AsyncClient
    page: OpenPage
    events: list[dict[str, Any]] = field(default_factory=list)

    async def follow(self) -> None:
        """To the end, each time from behind the last event."""
        while not self.ended:
            after = {"after": len(self.events)}
            with contextlib.suppress(httpx.TransportError):
                async with self.client.stream("GET", f"/api/jobs/{self.id}/events", params=after) as stream:
                    async for event in events_of(stream):
                        if event.id is not None:  # else it says that the server ends
                            self.events.append(event.data)  # what came before a cut is kept
            await asyncio.sleep(0.1)

    def count(self, kind: str) -> int:
        return sum(event["type"] == kind for event in self.events)

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1]["type"] in TERMINAL

    @property
    def text(self) -> str:
        """What a follower holds: a step that begins again withdraws its text."""
        begins = [place for place, event in enumerate(self.events) if event["type"] == "step.started"]
        return "".join(event["text"] for event in self.events[begins[-1] :] if event["type"] == "text.delta")

    async def is_in_mid_answer(self, deltas: int = 3) -> None:
        await until(lambda: self.count("text.delta") >= deltas, within=PATIENCE, what=f"{deltas} pieces of the answer")
        assert not self.ended

    async def has_ended(self) -> dict[str, Any]:
        """Waits for it; its last event."""
        await until(lambda: self.ended, within=PATIENCE, what=f"the job ends, after {self.events[-3:]}")
        return self.events[-1]

    async def stored(self) -> dict[str, Any]:
        """The job as the API shows it."""
        job: dict[str, Any] = (await self.client.get(f"/api/jobs/{self.id}")).json()
        return job

    async def is_answered(self) -> str:
        """Waits for the end; the answer, which everybody has, while each event came once."""
        end = await self.has_ended()
        assert end["type"] == "job.completed" or end.get("reason") == "length", end  # it may have had no more room
        text: str = end["result"]["text"]
        assert text
        assert self.text == text
        assert (await self.stored())["result"]["text"] == text
        await self.has_each_event_once()
        async with asyncio.timeout(PATIENCE):
            assert (await self.page.read())[0].startswith(text)  # an incomplete one has a note below it
        return text

    async def has_each_event_once(self) -> None:
        assert [event["seq"] for event in self.events] == list(range(1, len(self.events) + 1))
        assert [event.data for event in await follow(self.client, self.id)] == self.events


@contextlib.asynccontextmanager
async def asked(client: httpx.AsyncClient, question: str, **fields: object) -> AsyncIterator[FollowedJob]:
    """Submits the question, and follows its job while the block runs."""
    thread = str(uuid.uuid4())
    body = {"task": "chat", "input": question, "thread_id": thread, **fields}
    answer = await client.post("/api/jobs", json=body)
    assert answer.is_success, answer.text
    job = FollowedJob(id=answer.json()["id"], client=client, page=OpenPage([client], thread))
    following = asyncio.create_task(job.follow())
    try:
        yield job
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
