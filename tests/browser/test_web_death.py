"""kill -9 of the web process: the worker goes on, the page comes back by itself."""

from tests.browser.conftest import OpenChat
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.waiting import until


async def test_the_page_reconnects_by_itself_and_goes_on(
    start_server: StartServer, endpoint: Endpoint, open_chat: OpenChat
) -> None:
    server = await start_server()
    chat = await open_chat(server.url)
    question = script(tokens=120, rate=10, hold=110)
    await chat.send(question)
    await chat.sees_word(20)

    server.kill_web()
    await server.start()

    await chat.sees_word(endpoint.requests()[0].tokens_sent - 1)
    await chat.runs(within=3)
    await chat.sees_word(109)
    endpoint.release(question)
    await chat.has_words(120)
    assert await chat.record() == {"gone": [], "doubled": []}
    assert len(endpoint.requests()) == 1, "the model was asked again"


async def test_an_answer_that_ended_while_no_web_process_ran_is_whole(
    start_server: StartServer, endpoint: Endpoint, open_chat: OpenChat
) -> None:
    server = await start_server()
    chat = await open_chat(server.url)
    question = script(tokens=120, rate=60, hold=30)
    await chat.send(question)
    await chat.sees_word(29)
    orphans = server.workers()

    server.kill_web()
    endpoint.release(question)
    await until(lambda: not server.workers(), within=15, what=f"the orphan {orphans} has finished and ended")
    await server.start()

    await chat.has_words(120)
    await chat.reload()
    await chat.has_words(120)
    assert len(endpoint.requests()) == 1, "the model was asked again"
