"""The choice of a model, beside Send."""

from tests.browser.conftest import OpenChat
from tests.browser.page import Chat
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.waiting import until

PICKER = "#mode-picker-trigger-model"


async def test_the_page_offers_the_models_of_the_endpoint_and_a_thread_keeps_its_own(
    start_server: StartServer, open_chat: OpenChat, endpoint: Endpoint
) -> None:
    endpoint.models = ["test-model", "larger-model", "text-embedding-3"]
    server = await start_server()
    chat = await open_chat(server.url)
    await chat.page.locator(PICKER).click()
    assert await offered(chat) == ["test-model", "larger-model"]
    await chat.page.get_by_role("option", name="larger-model").click()
    question = script(tokens=3)
    await chat.send(question)
    await chat.has_words(3)
    assert [request.body["model"] for request in endpoint.requests(question)] == ["larger-model"]

    await chat.reload()
    await until(lambda: shown(chat, "larger-model"), within=30, what="the thread's model after a reload")
    again = script(tokens=4, word="v")
    await chat.send(again)
    await chat.has_words(4, word="v")
    assert [request.body["model"] for request in endpoint.requests(again)] == ["larger-model"]

    another = await open_chat(server.url)
    await until(lambda: shown(another, "test-model"), within=30, what="the default in a new conversation")


async def offered(chat: Chat) -> list[str]:
    return [text.split("\n")[0] for text in await chat.page.get_by_role("option").all_inner_texts()]


async def shown(chat: Chat, name: str) -> bool:
    picker = chat.page.locator(PICKER)
    return await picker.count() == 1 and name in await picker.inner_text()
