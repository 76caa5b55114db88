"""One job, every door: begun in the browser and followed over the API; begun over the API and seen in the page; and
one that five doors show at once while its worker is killed."""

import asyncio
from typing import Any

import httpx

from jobs.transcript import Transcript
from tests.api.events import events_of, follow, text_of
from tests.api.mcp_client import look
from tests.api.test_ui_chunks import shown
from tests.browser.conftest import OpenChat
from tests.browser.page import assert_words, numbers
from tests.endpoint import Endpoint, script
from tests.jobs.engine import logged
from tests.server import Server


async def test_what_begins_in_the_browser_can_be_followed_by_a_program(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    question = script(tokens=120, rate=240, hold=60)
    await chat.send(question)
    await chat.sees_word(40)
    thread = (await chat.in_thread()).rsplit("/", 1)[-1]
    async with httpx.AsyncClient(base_url=shared_server.url, timeout=30) as program:
        [job] = (await program.get("/api/jobs", params={"thread_id": thread})).json()["data"]
        assert (job["status"], job["user"]) == ("in_progress", "local")
        beginning = await follow(program, job["id"], at_most=4)  # a busy machine writes the 60 words in few events
        shared_endpoint.release(question)
        rest = await follow(program, job["id"], after=int(beginning[-1].id or 0))
        assert_words(numbers(text_of(beginning + rest)), 120)
        response = (await program.get(f"/v1/responses/{job['id'].replace('job_', 'resp_')}")).json()
    assert_words(numbers(response["output"][0]["content"][0]["text"]), 120)
    await chat.has_words(120)


async def test_what_a_program_begins_in_a_thread_appears_in_its_open_page(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script(tokens=3, word="z"))
    await chat.has_words(3, word="z")
    thread = (await chat.in_thread()).rsplit("/", 1)[-1]
    question = script(tokens=120, rate=240, hold=60, word="p")
    async with httpx.AsyncClient(base_url=shared_server.url, timeout=30) as program:
        body = {"task": "chat", "input": question, "thread_id": thread}
        job = (await program.post("/api/jobs", json=body)).json()
        await chat.sees_word(40, word="p")
        assert await chat.shows_stop()
        shared_endpoint.release(question)
        await follow(program, job["id"])
    await chat.has_words(120, word="p")
    await chat.finishes()


async def test_five_doors_show_one_job_at_once_and_each_every_word_once_though_its_worker_is_killed(
    mortal_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(mortal_server.url)
    question = script(tokens=60, hold="20,40")
    await chat.send(question)
    await chat.sees_word(10)
    thread = (await chat.in_thread()).rsplit("/", 1)[-1]
    async with httpx.AsyncClient(base_url=mortal_server.url, timeout=60) as program:
        [job] = (await program.get("/api/jobs", params={"thread_id": thread})).json()["data"]
        job_id = job["id"]
        response_id = job_id.replace("job_", "resp_")
        viewers = [
            asyncio.create_task(follow(program, job_id)),
            asyncio.create_task(data_of(program, f"/v1/responses/{response_id}?stream=true")),
            asyncio.create_task(data_of(program, f"/api/ui/runs/{job_id}/stream")),
        ]
        assert (await look(program, job_id))["status"] == "working"
        mortal_server.kill_workers()
        shared_endpoint.release(question)
        shared_endpoint.release(question)
        events, response, chunks = await asyncio.gather(*viewers)
        task = await look(program, job_id)
    log = [logged(event.data["seq"], event.data["type"], event.data, at=event.data["at"]) for event in events]
    last = response[-1]["response"]["output"][-1]
    answers = [
        Transcript.of(log).answer,
        last["content"][0]["text"],
        shown(chunks[:-1]),
        task["result"]["content"][0]["text"],
    ]
    for answer in answers:
        assert_words(numbers(answer), 60)
    await chat.has_words(60)


async def data_of(client: httpx.AsyncClient, path: str) -> list[Any]:
    """The data of a stream, to its end."""
    async with client.stream("GET", path) as stream:
        return [event.data async for event in events_of(stream)]
