"""The load of a soak: jobs that are submitted, followed through every interruption, and checked when they end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.api.events import TERMINAL, events_of
from tests.endpoint import script

TOKENS, STEPS = 60, 4
BROKEN = (httpx.TransportError, ConnectionResetError)


@dataclass(kw_only=True)
class Tally:
    """What came of the jobs. The last six are defects."""

    jobs: Counter[str] = field(default_factory=Counter)
    """By the type of the event that ended them."""
    words: int = 0
    """Words of answers that were to be shown."""
    takeovers: int = 0
    gaps: int = 0
    """Logs with a hole, or a number twice."""
    words_lost: int = 0
    words_doubled: int = 0
    steps_repeated: int = 0
    """Finished steps that began again."""
    unlike: int = 0
    """Followers that saw something else than the log."""
    unexpected: list[str] = field(default_factory=list)
    """Ends that no fault explains."""

    def as_json(self) -> dict[str, object]:
        counts = {name: value for name, value in vars(self).items() if name != "jobs"}
        return {"jobs": dict(self.jobs.most_common()), **counts, "clean": self.is_clean}

    @property
    def is_clean(self) -> bool:
        return not (
            self.gaps or self.words_lost or self.words_doubled or self.steps_repeated or self.unlike or self.unexpected
        )


class Load:
    """`width` jobs at a time, until it is told to stop."""

    def __init__(self, http: httpx.AsyncClient, chance: random.Random, notes: Path, *, width: int) -> None:
        self.tally = Tally()
        self._http = http
        self._chance = chance
        self._notes = notes
        self._width = width
        self._number = 0
        self._reading: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Ends every stream that is being read; their readers begin again behind the last event."""
        for reading in tuple(self._reading):
            reading.cancel()

    async def run(self, ending: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._width):
                group.create_task(self._one_after_another(ending))

    async def flood(self) -> None:
        """A job whose answer does not end. It may be broken off like all others."""
        job = await self._submit({"task": "chat", "input": script(flood=20)})
        events = await self._follow(job)
        self.tally.jobs[f"flood: {events[-1]['type']}"] += 1
        await self._persist("DELETE", f"/api/jobs/{job}")
        if events[-1]["type"] == "job.incomplete" and events[-1]["reason"] != "too_long":
            self.tally.unexpected.append(str(events[-1])[:300])

    async def _one_after_another(self, ending: asyncio.Event) -> None:
        while not ending.is_set():
            self._number += 1
            number = self._number
            await (self._tool(number) if number % 4 == 0 else self._chat(number))

    async def _chat(self, number: int) -> None:
        job = await self._submit({"task": "chat", "input": script(tokens=TOKENS, rate=20, number=number)})
        if self._chance.random() < 0.1:
            await asyncio.sleep(self._chance.uniform(0, 2))
            await self._persist("POST", f"/api/jobs/{job}/cancel")
        events = await self._checked(job)
        if events[-1]["type"] == "job.completed":
            said = Counter(str(events[-1]["result"]["text"]).split())
            self.tally.words += TOKENS
            self.tally.words_lost += sum(1 for word in range(TOKENS) if not said[f"w{word}"])
            self.tally.words_doubled += sum(max(0, said[f"w{word}"] - 1) for word in range(TOKENS))
            if _shown(events) != events[-1]["result"]["text"]:
                self.tally.unlike += 1

    async def _tool(self, number: int) -> None:
        arguments = {"file": str(self._notes / str(number)), "steps": STEPS, "seconds": 0.5}
        await self._checked(await self._submit({"task": "note_in_steps", "arguments": arguments}))

    async def _checked(self, job: str) -> list[dict[str, Any]]:
        """Returns what a follower saw, compared with the log."""
        seen = await self._follow(job)
        tally, log = self.tally, await self._follow(job)
        tally.jobs[seen[-1]["type"]] += 1
        tally.takeovers += sum(event["type"] == "job.started" for event in seen) - 1
        tally.unlike += seen != log
        tally.gaps += [event["seq"] for event in log] != list(range(1, len(log) + 1))
        finished: set[str] = set()
        for event in log:
            if event["type"] == "step.started":
                tally.steps_repeated += event["step"] in finished
            elif event["type"] == "step.finished":
                finished.add(event["step"])
        if log[-1]["type"] not in {"job.completed", "job.cancelled"}:
            tally.unexpected.append(str(log[-1])[:300])
        await self._persist("DELETE", f"/api/jobs/{job}")  # an hour of them would fill the disk
        return log

    async def _submit(self, body: dict[str, object]) -> str:
        """The key makes one job of all attempts."""
        key = f"{self._chance.random()}"
        while True:
            answer = await self._persist("POST", "/api/jobs", json=body, headers={"Idempotency-Key": key})
            if answer.status_code == 202:
                return str(answer.json()["id"])
            await asyncio.sleep(0.5)

    async def _persist(self, method: str, path: str, **options: Any) -> httpx.Response:
        while True:
            with contextlib.suppress(*BROKEN):
                answer = await self._http.request(method, path, **options)
                if answer.status_code not in {500, 503, 507}:
                    return answer
            await asyncio.sleep(0.3)

    async def _follow(self, job: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] not in TERMINAL:
            reading = asyncio.create_task(self._read(job, events))
            self._reading.add(reading)
            try:
                await asyncio.wait({reading})
            finally:
                self._reading.discard(reading)
            if not reading.cancelled() and (error := reading.exception()) is not None and not isinstance(error, BROKEN):
                raise error
            await asyncio.sleep(0.1)
        return events

    async def _read(self, job: str, events: list[dict[str, Any]]) -> None:
        after = {"after": events[-1]["seq"] if events else 0}
        async with self._http.stream("GET", f"/api/jobs/{job}/events", params=after) as stream:
            async for event in events_of(stream):
                if event.id is not None:  # else it says that the log cannot be read now
                    events.append(event.data)  # noqa: PERF401  # what came before a cut is kept


def _shown(events: list[dict[str, Any]]) -> str:
    """Returns the text on the screen of somebody who saw these events: a step that begins again withdraws its text."""
    texts: dict[str, str] = {}
    for event in events:
        if event["type"] == "step.started" and event["kind"] == "model":
            texts[event["step"]] = ""
        elif event["type"] == "text.delta":
            texts[event["step"]] += event["text"]
    return "".join(texts.values())
