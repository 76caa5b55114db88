"""kill -9 of the web process: the worker goes on, the page comes back by itself."""

from tests.browser.conftest import OpenChat
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until


async def test_the_page_reconnects_by_itself_and_goes_on(
    mortal_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(mortal_server.url)
    question = script(tokens=120, rate=10, hold=110)
    await chat.send(question)
    await chat.sees_word(20)

    mortal_server.kill_web()
    await mortal_server.start()

    await chat.sees_word(shared_endpoint.requests(question)[0].tokens_sent - 1)
    await chat.runs()
    await chat.sees_word(109)
    shared_endpoint.release(question)
    await chat.has_words(120)
    assert await chat.record() == {"gone": [], "doubled": []}
    assert len(shared_endpoint.requests(question)) == 1, "the model was asked again"


async def test_an_answer_that_ended_while_no_web_process_ran_is_whole(
    mortal_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(mortal_server.url)
    question = script(tokens=120, rate=240, hold=30)
    await chat.send(question)
    await chat.sees_word(29)
    orphans = mortal_server.workers()

    mortal_server.kill_web()
    shared_endpoint.release(question)
    await until(lambda: not mortal_server.workers(), within=30, what=f"the orphan {orphans} has finished and ended")
    await mortal_server.start()

    await chat.has_words(120)
    await chat.reload()
    await chat.has_words(120)
    assert len(shared_endpoint.requests(question)) == 1, "the model was asked again"
