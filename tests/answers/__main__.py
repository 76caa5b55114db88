"""Asks all questions of a running server: `python -m tests.answers http://localhost:8000`."""

from __future__ import annotations

import asyncio
import sys

import httpx

from tests.answers.questions import SETS, Asked, path_of, questions, score

AT_A_TIME = 4
PATIENCE = 120.0


async def answer(client: httpx.AsyncClient, asked: Asked, turn: asyncio.Semaphore) -> tuple[Asked, str]:
    async with turn:
        files = [await upload(client, file) for file in asked.files]
        submitted = await client.post("/api/jobs", json={"task": "chat", "input": asked.ask, "files": files})
        job = submitted.raise_for_status().json()
        async with client.stream("GET", f"/api/jobs/{job['id']}/events", timeout=PATIENCE) as events:
            async for _ in events.aiter_lines():
                pass
        ended = (await client.get(f"/api/jobs/{job['id']}")).json()
        return asked, ended["result"]["text"] if ended["status"] == "completed" else ""


async def upload(client: httpx.AsyncClient, file: str) -> str:
    path = path_of(file)
    sent = await client.post("/api/files", files={"file": (path.name, path.read_bytes())})
    return str(sent.raise_for_status().json()["id"])


async def main(url: str) -> None:
    turn = asyncio.Semaphore(AT_A_TIME)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for name in SETS:
            answers = await asyncio.gather(*(answer(client, asked, turn) for asked in questions(name)))
            found, facts, whole, count = score(answers)
            print(f"{name}: {found} of {facts} facts ({found / facts:.0%}), {whole} of {count} questions whole")
            for asked, text in answers:
                if missing := asked.missing(text):
                    print(f"  {asked.ask} [{', '.join(asked.files)}]: {', '.join(missing)}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
