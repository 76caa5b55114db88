"""Stop: the model's stream or the tool ends at once, the partial text stays, the answer says what was stopped."""

import json
from pathlib import Path

from tests.browser.conftest import OpenChat
from tests.browser.page import assert_words
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

UPSTREAM_SECONDS = 10
"""On a machine that does other things as well. Without Stop the model would go on for a minute."""


async def test_stop_in_mid_stream_closes_the_model_stream_and_keeps_the_text(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    question = script(tokens=120, rate=240, hold=40)
    chat = await open_chat(shared_server.url)
    await chat.send(question)
    await chat.sees_word(39)
    clicked_at = await chat.press_stop()

    await closed_upstream(shared_endpoint, question, clicked_at)
    answer = await chat.says("stopped")
    await chat.finishes()
    assert_words(await chat.words(), 40)
    await chat.reload()
    assert await chat.says("stopped") == answer
    assert not await chat.shows_stop()


async def test_stop_before_the_first_token_closes_the_model_stream(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    question = script(delay=60)
    chat = await open_chat(shared_server.url)
    await chat.send(question)
    await until(lambda: shared_endpoint.requests(question), within=30, what="the model is asked")
    await chat.runs()
    clicked_at = await chat.press_stop()

    await closed_upstream(shared_endpoint, question, clicked_at)
    answer = await chat.says("stopped")
    await chat.finishes()
    await chat.reload()
    assert await chat.says("stopped") == answer
    assert not await chat.shows_stop()


async def test_stop_in_a_tool_ends_the_tool_and_names_it(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    arguments = json.dumps({"file": str(notes), "text": "begun", "seconds": 60})
    question = script(f"call note_slowly {arguments}")
    chat = await open_chat(shared_server.url)
    await chat.send(question)
    await until(notes.exists, within=30, what="the tool runs")
    await chat.runs()
    await chat.press_stop()

    answer = await chat.says("stopped", "note_slowly", within=30)
    await chat.finishes()
    await chat.reload()
    assert await chat.says("stopped", "note_slowly") == answer
    assert [request.turn for request in shared_endpoint.requests(question)] == [0]


async def test_stop_after_a_reload_works_as_before_it(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    question = script(tokens=120, rate=240, hold=40)
    chat = await open_chat(shared_server.url)
    await chat.send(question)
    await chat.in_thread()
    await chat.sees_word(39)
    await chat.reload()
    await chat.runs()
    clicked_at = await chat.press_stop()

    await closed_upstream(shared_endpoint, question, clicked_at)
    await chat.says("stopped")
    await chat.finishes()
    assert_words(await chat.words(), 40)


async def closed_upstream(endpoint: Endpoint, question: str, clicked_at: float) -> None:
    [request] = endpoint.requests(question)
    await until(lambda: request.disconnected_at, within=30, what="the model's stream is closed")
    assert request.disconnected_at is not None
    assert request.disconnected_at - clicked_at <= UPSTREAM_SECONDS
