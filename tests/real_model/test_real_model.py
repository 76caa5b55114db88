"""The whole app with a real language model. It is weak: what is asserted is what comes of its words, not the words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from models.agents import MESSAGES_LEFT_OUT
from tests.api.doors import DOORS
from tests.real_model.conftest import environment
from tests.real_model.following import PATIENCE, asked
from tests.real_model.serving import CONTEXT_TOKENS, NAME, RealModel, Tap
from tests.server import Server
from tests.waiting import until

STORY = "Write a long story about a lighthouse keeper and the sea, in many long chapters."
SHORT = "Say hello."
SCRIPTS = [
    "Write the word hello and the emoji 😀🎉🚀🌍 ten times, and 你好，世界 ten times.",
    "Translate into Chinese: the lighthouse keeper loves the sea.",
    "用中文写一个关于大海的短故事。",
    "Write ten lines, each with three emoji such as 👩‍🚀🏳️‍🌈🇩🇪 and a word of Chinese or Arabic.",
]
FREE_SECONDS = 2
"""Of the processor: a free model takes 0.1 s for a word, and the rest of the story would take ten."""


async def test_a_chat_streams_its_answer_and_completes(client: httpx.AsyncClient) -> None:
    async with asked(client, STORY) as job:
        text = await job.is_answered()
    assert job.count("text.delta") > 3
    assert len(text.split()) > 20
    assert job.count("step.started") == 1


async def test_stop_in_mid_answer_keeps_the_text_and_frees_the_model(
    client: httpx.AsyncClient, model: RealModel
) -> None:
    async with asked(client, STORY) as job:
        await job.is_in_mid_answer()
        (await client.post(f"/api/jobs/{job.id}/cancel")).raise_for_status()
        end = await job.has_ended()
        assert await model.work_before_a_word() < FREE_SECONDS
        await job.has_each_event_once()
        shown = await job.page.read()
    assert end["type"] == "job.cancelled"
    assert job.text
    assert shown[0].startswith(job.text)


async def test_a_worker_killed_in_mid_answer_costs_neither_the_job_nor_its_followers(
    client: httpx.AsyncClient, server: Server
) -> None:
    async with asked(client, STORY) as job:
        await job.is_in_mid_answer()
        server.kill_workers()
        await job.is_answered()
    assert job.count("step.started") == 2
    await server.workers_ready()


async def test_a_web_process_killed_in_mid_answer_does_not_interrupt_it(
    client: httpx.AsyncClient, server: Server
) -> None:
    async with asked(client, STORY) as job:
        await job.is_in_mid_answer()
        await asyncio.to_thread(server.kill_web)
        await server.start()
        await job.is_answered()
    assert job.count("step.started") == 1


async def test_everything_killed_in_mid_answer_goes_on_at_the_next_start(
    client: httpx.AsyncClient, server: Server
) -> None:
    async with asked(client, STORY) as job:
        await job.is_in_mid_answer()
        await asyncio.to_thread(server.kill_everything)
        await server.start()
        await job.is_answered()
    assert job.count("step.started") == 2


async def test_a_model_killed_in_mid_answer_is_waited_for(client: httpx.AsyncClient, model: RealModel) -> None:
    async with asked(client, STORY, patience_seconds=PATIENCE) as job:
        await job.is_in_mid_answer()
        await asyncio.to_thread(model.kill)
        await until(lambda: job.count("step.waiting"), within=PATIENCE, what="the job waits for the model")
        waiting = (await job.stored())["status"]
        await model.start()
        await job.is_answered()
    assert waiting == "in_progress"
    assert job.count("step.started") >= 2


async def test_a_conversation_longer_than_the_context_is_answered_without_its_oldest_messages(
    client: httpx.AsyncClient,
) -> None:
    said = "The keeper of the lighthouse walks down to the sea and counts the ships. " * 5
    talk = [
        message
        for turn in range(40)
        for message in ({"role": "user", "content": f"{turn}. {said}"}, {"role": "assistant", "content": said})
    ]
    assert sum(len(message["content"]) for message in talk) / 6 > CONTEXT_TOKENS  # six letters a token are very many
    question = {"model": NAME, "messages": [*talk, {"role": "user", "content": SHORT}]}
    answer = await client.post("/v1/chat/completions", json=question)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    assert MESSAGES_LEFT_OUT in (await client.get(f"/api/jobs/{answer.headers['x-job-id']}/events")).text


async def test_a_message_longer_than_the_context_ends_with_a_sentence(client: httpx.AsyncClient) -> None:
    async with asked(client, "sea " * 2 * CONTEXT_TOKENS, patience_seconds=0) as job:
        end = await job.has_ended()
    assert end["type"] == "job.failed"
    assert end["error"]["message"].endswith(".")


@pytest_asyncio.fixture(loop_scope="session")
async def tap(model: RealModel) -> AsyncIterator[Tap]:
    async with Tap(model.port) as tap:
        yield tap


@pytest_asyncio.fixture(loop_scope="session")
async def tapped(tap: Tap, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that asks the model through the tap."""
    server = Server(tmp_path_factory.mktemp("tapped"), environment(tap.url))
    await server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        (await client.get("/")).raise_for_status()
        yield client
    await asyncio.to_thread(server.stop)
    server.check_log()


async def test_characters_of_several_bytes_arrive_as_the_model_sent_them(tap: Tap, tapped: httpx.AsyncClient) -> None:
    answers = []
    for question in SCRIPTS:
        async with asked(tapped, question) as job:
            text = await job.is_answered()
        assert text == "".join(tap.said(question))
        answers.append(text)
    assert [letter for letter in "".join(answers) if ord(letter) > 0x7FF], answers  # three or four bytes in UTF-8


@pytest.mark.parametrize("door", DOORS)
async def test_every_door_answers(client: httpx.AsyncClient, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.api.doors.MODEL", NAME)
    outcome = await DOORS[door](client, SHORT)
    assert outcome.error is None
    assert outcome.text


async def test_a_response_in_the_background_is_answered(client: httpx.AsyncClient) -> None:
    body = {"model": NAME, "input": SHORT, "background": True}
    response = (await client.post("/v1/responses", json=body)).json()

    async def ended() -> dict[str, Any] | None:
        now: dict[str, Any] = (await client.get(f"/v1/responses/{response['id']}")).json()
        return now if now["status"] not in {"queued", "in_progress"} else None

    last = await until(ended, within=PATIENCE, what="the response ends")
    assert last is not None
    assert last["status"] in {"completed", "incomplete"}
    assert last["output"][-1]["content"][0]["text"]
