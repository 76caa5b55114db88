"""kill -9 and SIGSTOP of the worker: the job goes on from its last finished step, and nothing is doubled."""

import json
import signal
from pathlib import Path

import pytest

from tests.browser.conftest import OpenChat, kill_file
from tests.browser.page import Chat
from tests.conftest import StartServer
from tests.endpoint import Endpoint, Request, script
from tests.server import Server
from tests.waiting import until

RESUME_SECONDS = 40
"""Within which a new worker goes on, on a machine that does other things as well."""
AN_HOUR = "3600"


@pytest.fixture
def notes(tmp_path: Path) -> "Notes":
    return Notes(tmp_path / "notes.txt")


class Notes:
    """The file in which a tool leaves a line each time it really runs."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def call(self, tool: str, **arguments: object) -> str:
        return f"call {tool} {json.dumps({'file': str(self.file), **arguments})}"

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []


async def asked_again(endpoint: Endpoint, question: str, turn: int, times: int) -> Request:
    """Waits for the model to be asked for that turn so many times; the last request."""

    def requests() -> list[Request]:
        return [request for request in endpoint.requests(question) if request.turn == turn]

    await until(lambda: len(requests()) >= times, within=RESUME_SECONDS, what=f"request {times} of turn {turn}")
    return requests()[-1]


def asked(endpoint: Endpoint, question: str) -> list[int]:
    """The turn of each request to the model, in order."""
    return [request.turn for request in endpoint.requests(question)]


async def whole_after_reload(chat: Chat) -> None:
    await chat.has_words(120)
    await chat.reload()
    await chat.has_words(120)


async def test_a_worker_killed_in_mid_stream_is_replaced_and_its_text_too(
    mortal_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(mortal_server.url)
    question = script(tokens=120, rate=240, hold=40, delay=3)
    await chat.send(question)
    await chat.sees_word(39)

    mortal_server.kill_workers()

    request = await asked_again(shared_endpoint, question, 0, 2)
    shown = await chat.words()
    assert request.first_token_at is None, "the check below came too late"
    assert shown == list(range(40)), "what was read stays until there is new text"
    await chat.runs()
    shared_endpoint.release(question)
    await whole_after_reload(chat)
    assert (await chat.record())["doubled"] == []
    assert asked(shared_endpoint, question) == [0, 0]


async def test_a_worker_killed_in_a_tool_repeats_no_finished_part_of_it(
    mortal_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, notes: Notes
) -> None:
    chat = await open_chat(mortal_server.url)
    question = script(notes.call("note_in_steps", steps=4, seconds=0.5), tokens=120)
    await chat.send(question)
    await until(lambda: len(notes.lines()) == 3, within=30, what="the third part has begun")

    mortal_server.kill_workers()

    await until(lambda: len(notes.lines()) > 3, within=RESUME_SECONDS, what="the tool goes on")
    await chat.sees_word(119)
    await whole_after_reload(chat)
    assert notes.lines() == ["step 0", "step 1", "step 2", "step 2", "step 3"]
    assert asked(shared_endpoint, question) == [0, 1]


async def test_a_worker_killed_between_two_tool_calls_repeats_neither(
    mortal_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, notes: Notes
) -> None:
    chat = await open_chat(mortal_server.url)
    calls = f"{notes.call('note', text='first')} {notes.call('note', text='second')}"
    question = script(calls, tokens=120, rate=240, say=40, same_ids=1, hold=20, hold_turn=1)
    await chat.send(question)
    await until(lambda: 1 in asked(shared_endpoint, question), within=30, what="the model is asked for the second call")

    mortal_server.kill_workers()

    await asked_again(shared_endpoint, question, 1, 2)
    shared_endpoint.release(question)
    await chat.sees_word(119)
    await whole_after_reload(chat)
    assert notes.lines() == ["first", "second"]
    assert asked(shared_endpoint, question) == [0, 1, 1, 2]


@pytest.mark.parametrize("step", ["model:1", "model:1/call:0"])
async def test_a_worker_killed_right_behind_a_finished_step_does_not_repeat_it(
    mortal_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, notes: Notes, step: str
) -> None:
    kill = kill_file(mortal_server.data_dir.parent)
    kill.write_text(step)
    chat = await open_chat(mortal_server.url)
    question = script(notes.call("note", text="once"), tokens=120)
    await chat.send(question)
    await until(lambda: not kill.exists(), within=30, what="the worker has killed itself")

    await asked_again(shared_endpoint, question, 1, 1)
    await chat.sees_word(119)
    await whole_after_reload(chat)
    assert notes.lines() == ["once"]
    assert asked(shared_endpoint, question) == [0, 1]


async def test_everything_killed_and_started_an_hour_later_goes_on(
    start_server: StartServer, endpoint: Endpoint, open_chat: OpenChat, notes: Notes
) -> None:
    server = await start_server()
    chat = await open_chat(server.url)
    question = script(notes.call("note", text="once"), tokens=120, rate=240, hold=40)
    await chat.send(question)
    await chat.sees_word(39)

    server.kill_everything()
    await server.start(TEST_CLOCK_AHEAD_SECONDS=AN_HOUR)

    await asked_again(endpoint, question, 1, 2)
    endpoint.release(question)
    await chat.sees_word(119)
    await whole_after_reload(chat)
    assert notes.lines() == ["once"]
    assert asked(endpoint, question) == [0, 1, 1]
    assert (await chat.record())["doubled"] == []


async def test_a_worker_that_comes_back_from_the_dead_writes_nothing(
    mortal_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(mortal_server.url)
    question = script(tokens=120, rate=240, hold="40,80")
    await chat.send(question)
    await chat.sees_word(39)

    zombies = mortal_server.signal_workers(signal.SIGSTOP)
    await asked_again(shared_endpoint, question, 0, 2)
    shared_endpoint.release(question)
    await chat.sees_word(79)
    first, second = shared_endpoint.requests(question)
    await until(lambda: first.tokens_sent == 80, within=30, what="the zombie has something to write")
    mortal_server.signal_workers(signal.SIGCONT)

    await until(lambda: first.disconnected_at is not None, within=30, what="the zombie has let go of its model stream")
    shared_endpoint.release(question)
    await whole_after_reload(chat)
    assert second.disconnected_at is None
    assert asked(shared_endpoint, question) == [0, 0]
    assert (await chat.record())["doubled"] == [], f"one of the workers {zombies} wrote after its end"
