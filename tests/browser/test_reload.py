"""Reloads and several tabs: each shows the whole stream, and that it runs."""

from playwright.async_api import WebSocketRoute, expect

from tests.browser.conftest import OpenChat
from tests.browser.page import PHONE
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until


async def test_a_stream_survives_two_reloads_a_second_tab_and_the_end_of_the_first(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    question = script(tokens=120, rate=240, hold="20,40,60,90")
    first = await open_chat(shared_server.url)
    await first.send(question)
    thread = await first.in_thread()

    for last_word in (19, 39):
        await first.sees_word(last_word)
        await first.reload()
        await first.runs()
        shared_endpoint.release(question)
    await first.sees_word(59)
    second = await open_chat(shared_server.url, thread)
    await second.runs()
    await second.sees_word(59)
    shared_endpoint.release(question)
    for tab in (first, second):
        await tab.sees_word(89)
        await tab.runs(within=30)

    await first.page.close()
    shared_endpoint.release(question)
    await second.has_words(120)
    assert await second.record() == {"gone": [], "doubled": []}
    assert len(shared_endpoint.requests(question)) == 1


async def test_a_finished_answer_is_there_in_a_new_tab(shared_server: Server, open_chat: OpenChat) -> None:
    first = await open_chat(shared_server.url)
    await first.send(script(tokens=120))
    await first.has_words(120)
    second = await open_chat(shared_server.url, await first.in_thread())
    await second.has_words(120)
    assert await second.questions() == await first.questions()


async def test_on_a_phone_which_draws_no_list_a_reload_in_mid_stream_finds_each_conversation_again(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    await chat.page.set_viewport_size(PHONE)
    await chat.reload()
    threads = []
    for _ in range(2):
        question = script(tokens=40, rate=200, hold=20)
        await chat.send(question)
        await chat.sees_word(19)
        threads.append(await chat.in_thread())
        assert (await chat.record())["doubled"] == []
        await chat.reload()
        await chat.sees_word(19)
        shared_endpoint.release(question)
        await chat.has_words(40)
        assert await chat.questions() == [question]
        await chat.page.locator("#new-chat-button").click()
        await chat.page.wait_for_url(f"{chat.base}/")
        await chat.ready()
    assert threads[0] != threads[1]


async def test_a_link_to_a_thread_works_in_a_fresh_browser(shared_server: Server, open_chat: OpenChat) -> None:
    first = await open_chat(shared_server.url)
    await first.send(script(tokens=120))
    await first.has_words(120)
    thread = await first.in_thread()
    stranger = await open_chat(shared_server.url, thread, fresh=True)
    await stranger.has_words(120)
    assert await stranger.in_thread() == thread


async def test_both_tabs_of_a_thread_see_a_new_turn_from_its_start(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    first = await open_chat(shared_server.url)
    await first.send(script(tokens=3))
    await first.has_words(3)
    second = await open_chat(shared_server.url, await first.in_thread())
    await second.has_words(3)

    question = script(tokens=120, rate=240, hold=60)
    await first.send(question)
    await second.runs()
    await second.sees_word(59)
    assert await second.questions() == await first.questions()
    shared_endpoint.release(question)
    await second.has_words(120)
    await first.has_words(120)


async def test_a_reload_shows_the_place_that_was_read(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script(tokens=2_000, paragraph=20))
    await chat.finishes()
    paragraph = chat.page.get_by_text("w400 w401 w402")

    looks = 0

    async def stays() -> bool:  # the page may still follow the answer to its end
        nonlocal looks
        there = await paragraph.evaluate("element => element.getBoundingClientRect().top >= 0")
        looks = looks + 1 if there else 0
        if not there:
            await paragraph.evaluate("element => element.scrollIntoView()")
        return looks == 10

    await until(stays, within=30, what="the paragraph stays in view")
    for _ in range(2):
        await chat.reload()
        await expect(paragraph).to_be_in_viewport()
        await expect(chat.page.get_by_text("w1999")).not_to_be_in_viewport()


async def test_a_page_that_was_not_shown_its_conversation_loads_again(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script(tokens=3))
    await chat.has_words(3)
    thread = await chat.in_thread()
    page = await chat.page.context.new_page()
    loads: list[str] = []
    page.on("domcontentloaded", lambda opened: loads.append(opened.url))

    def lose_all_at_first(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda frame: socket.send(frame) if len(loads) > 1 else None)

    await page.route_web_socket("**/ws/socket.io/**", lose_all_at_first)
    await page.goto(f"{shared_server.url}{thread}")
    await until(lambda: len(loads) == 2, within=30, what="it loads again")
    await expect(page.get_by_text("w2", exact=False).last).to_be_visible()
    assert len(loads) == 2
    await page.close()
