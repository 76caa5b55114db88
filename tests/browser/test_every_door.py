"""One job, every door: begun in the browser and followed over the API; begun over the API and seen in the page."""

import httpx

from tests.api.events import follow, text_of
from tests.browser.conftest import OpenChat
from tests.browser.page import assert_words, numbers
from tests.endpoint import Endpoint, script
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
        beginning = await follow(program, job["id"], at_most=8)
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
