"""The real Deep Chat component in a real browser: with our handler on its page, and plain at `/chat-stream`."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Page, Route

from tests.browser.page import assert_words, numbers
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.server import ROOT, Server
from tests.sockets import Proxy
from tests.waiting import until

BUNDLE = ROOT / "public" / "deep-chat" / "vendor" / "deepChat.bundle.js"
STOP_SECONDS = 10

# What a person reads in the component behind the welcome, top to bottom: role and text of each bubble.
BUBBLES = """
[...document.querySelector('deep-chat').shadowRoot.querySelectorAll('.outer-message-container:not(.deep-chat-intro)')]
  .map(message => [message.className.match(/container-role-(\\w+)/)?.[1] ?? '', message.innerText.trim()])
"""
PLAIN = """
() => {
  document.querySelector('deep-chat').remove();
  const chat = document.createElement('deep-chat');
  chat.connect = {url: '/chat-stream', stream: true};
  chat.errorMessages = {displayServiceErrorMessages: true};
  chat.style.fontFamily = 'serif';  // without one, it asks another host for its own
  document.querySelector('#place').append(chat);
}
"""


class DeepChat:
    """A tab with the component."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.input = page.locator("deep-chat #text-input")

    async def send(self, text: str) -> None:
        await self.input.fill(text)
        await self.input.press("Enter")

    async def reload(self) -> None:
        await self.page.reload()
        await self.input.wait_for()

    async def bubbles(self) -> list[tuple[str, str]]:
        return [(role, text) for role, text in await self.page.evaluate(BUBBLES)]

    async def words(self) -> list[int]:
        """The numbered words of the last bubble."""
        bubbles = await self.bubbles()
        return numbers(bubbles[-1][1]) if bubbles else []

    async def sees_word(self, number: int, *, within: float = 30) -> None:
        async def shown() -> bool:
            return number in await self.words()

        await until(shown, within=within, what=f"w{number} in the last bubble")

    async def has_words(self, count: int) -> None:
        """To the end; each once and in order."""
        await self.sees_word(count - 1)
        await self.ended()
        assert_words(await self.words(), count)

    async def ended(self) -> None:
        await self.page.locator("deep-chat #stop-icon").wait_for(state="detached")

    async def error(self) -> str:
        async def shown() -> str:
            role, text = (await self.bubbles())[-1]
            return text if role == "error" else ""

        return await until(shown, within=30, what="an error in the last bubble")


Open = Callable[[str], Awaitable[DeepChat]]


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, tmp_path: Path) -> AsyncIterator[Open]:
    """`await open_page(url)` opens the page /deep-chat of that server; other hosts must not be asked for anything."""
    assert BUNDLE.exists(), "The Deep Chat component is missing: run scripts/install where npm is."
    context = await browser.new_context()
    page = await context.new_page()
    strange: list[str] = []
    page.on("request", lambda request: strange.append(request.url) if "//127.0.0.1:" not in request.url else None)

    async def open_one(base: str) -> DeepChat:
        await page.goto(f"{base}/deep-chat")
        chat = DeepChat(page)
        await chat.input.or_(page.locator("#key:visible")).wait_for()
        if await page.get_by_label("API key").is_visible():
            await page.get_by_label("API key").fill("the-secret-key-of-ada")
            await page.get_by_role("button", name="Use this key").click()
        await chat.input.wait_for()
        return chat

    yield open_one
    await page.screenshot(path=tmp_path / "deep-chat.png")
    await context.close()
    assert not [url for url in strange if not url.startswith(("data:", "blob:"))]


async def test_a_conversation_streams_and_is_there_after_a_reload(
    shared_server: Server, shared_endpoint: Endpoint, open_page: Open
) -> None:
    chat = await open_page(shared_server.url)
    first, second = script(tokens=3), script(tokens=60, hold=20)
    await chat.send(first)
    await chat.has_words(3)
    await chat.send(second)
    await chat.sees_word(19)
    assert 20 not in await chat.words()
    shared_endpoint.release(second)
    await chat.has_words(60)
    [request] = shared_endpoint.requests(second)
    assert [message["content"] for message in request.messages if message["role"] == "user"] == [first, second]

    before = await chat.bubbles()
    await chat.reload()

    async def there() -> bool:
        return await chat.bubbles() == before

    await until(there, within=30, what=f"the same conversation {before}")


async def test_a_reload_in_mid_answer_rejoins_it(
    shared_server: Server, shared_endpoint: Endpoint, open_page: Open
) -> None:
    chat = await open_page(shared_server.url)
    question = script(tokens=120, rate=240, hold=60)
    await chat.send(question)
    await chat.sees_word(30)
    await chat.reload()
    await chat.sees_word(59)
    shared_endpoint.release(question)
    await chat.has_words(120)
    assert [text for role, text in await chat.bubbles() if role == "user"] == [question]
    assert len(shared_endpoint.requests(question)) == 1


async def test_a_question_whose_receipt_is_lost_is_asked_once(
    shared_server: Server, shared_endpoint: Endpoint, open_page: Open
) -> None:
    chat = await open_page(shared_server.url)
    lost: list[Route] = []

    async def lose(route: Route) -> None:
        await route.fetch()
        lost.append(route)

    await chat.page.route("**/api/jobs", lose, times=1)
    question = script(tokens=3)
    await chat.send(question)
    await until(lambda: lost, within=30, what="the server has the question, the page does not know")
    await chat.reload()
    await chat.has_words(3)
    assert len(shared_endpoint.requests(question)) == 1


async def test_a_cut_network_is_rejoined(shared_server: Server, shared_endpoint: Endpoint, open_page: Open) -> None:
    async with Proxy(shared_server.port) as proxy:
        chat = await open_page(proxy.url)
        question = script(tokens=120, rate=240, hold=30)
        await chat.send(question)
        await chat.sees_word(29)
        await proxy.cut()
        shared_endpoint.release(question)
        await says_status(chat, "Reconnecting")
        await proxy.restore()
        await chat.has_words(120)
        await says_status(chat, "")
        assert len(shared_endpoint.requests(question)) == 1


async def says_status(chat: DeepChat, text: str) -> None:
    async def said() -> bool:
        status = await chat.page.locator("#status").inner_text()
        return status.startswith(text) if text else not status

    await until(said, within=30, what=f"the status {text!r}")


async def test_with_a_key_an_answer_outlives_web_process_and_worker(
    start_server: StartServer, endpoint: Endpoint, open_page: Open
) -> None:
    server = await start_server(LONGHAUL_API_KEYS="ada:the-secret-key-of-ada")
    chat = await open_page(server.url)
    question = script(tokens=120, rate=240, hold=30)
    await chat.send(question)
    await chat.sees_word(29)
    server.kill_web()
    endpoint.release(question)
    await server.start()
    await chat.has_words(120)
    assert len(endpoint.requests()) == 1

    anew = script(tokens=60, rate=240, hold=30)
    await chat.send(anew)
    await chat.sees_word(29)
    server.kill_workers()
    endpoint.release(anew)
    await chat.has_words(60)
    assert len(endpoint.requests(anew)) == 2


async def test_stop_stops_the_answer_on_the_server(
    shared_server: Server, shared_endpoint: Endpoint, open_page: Open
) -> None:
    chat = await open_page(shared_server.url)
    question = script(tokens=120, hold=20)
    await chat.send(question)
    await chat.sees_word(19)
    await stops(chat, shared_endpoint, question)
    assert_words(await chat.words(), 20)
    await chat.send(script(tokens=2))
    await chat.has_words(2)


async def stops(chat: DeepChat, endpoint: Endpoint, question: str) -> None:
    [request] = endpoint.requests(question)
    await chat.page.click("deep-chat #stop-icon")
    clicked_at = time.monotonic()
    await until(lambda: request.disconnected_at, within=30, what="the model's stream is closed")
    assert (request.disconnected_at or 0) - clicked_at <= STOP_SECONDS
    await chat.ended()


async def test_an_error_is_one_sentence_and_the_words_stay(shared_server: Server, open_page: Open) -> None:
    chat = await open_page(shared_server.url)
    await chat.send(script(status=401))
    assert "refused the key" in await chat.error()
    await chat.send(script(tokens=20, cut=10))
    await until(lambda: broke_off(chat, 10), within=30, what="the words and the error")
    before = await chat.bubbles()
    await chat.reload()

    async def there() -> bool:
        return await chat.bubbles() == before

    await until(there, within=30, what=f"the same bubbles as {before}")


async def broke_off(chat: DeepChat, words: int) -> bool:
    """Ten words, then one bubble with the error."""
    *_, (_, said), (role, error) = await chat.bubbles()
    return role == "error" and "broke off" in error and numbers(said) == list(range(words))


async def test_the_plain_component_streams_stops_and_shows_errors(
    shared_server: Server, shared_endpoint: Endpoint, open_page: Open
) -> None:
    chat = await open_page(shared_server.url)
    await chat.page.evaluate(PLAIN)
    await chat.input.wait_for()
    question = script(tokens=60, hold=20)
    await chat.send(question)
    await chat.sees_word(19)
    shared_endpoint.release(question)
    await chat.has_words(60)
    await chat.send(script(status=401))
    assert "refused the key" in await chat.error()
    await chat.send(script(tokens=20, cut=10))
    await until(lambda: broke_off(chat, 10), within=30, what="the words and the error")
    stopped = script(tokens=60, hold=20)
    await chat.send(stopped)
    await chat.sees_word(19)
    await stops(chat, shared_endpoint, stopped)


async def test_a_file_comes_along(
    shared_server: Server, shared_endpoint: Endpoint, open_page: Open, tmp_path: Path
) -> None:
    chat = await open_page(shared_server.url)
    notes = tmp_path / "notes.txt"
    notes.write_text("Remember the milk.")
    question = script(tokens=2)
    async with chat.page.expect_file_chooser() as chosen:
        await chat.page.click("deep-chat #upload-mixed-files-icon")
    await (await chosen.value).set_files(str(notes))
    await chat.page.locator("deep-chat").get_by_text(notes.name).wait_for()  # read by now
    await chat.send(question)
    await chat.has_words(2)
    [request] = shared_endpoint.requests(question)
    assert "notes.txt" in str(request.messages[-1]["content"])
