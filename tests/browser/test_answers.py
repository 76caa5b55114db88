"""How an answer looks, and what Copy takes of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from playwright.async_api import expect

from tests.browser.conftest import OpenChat
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

WORDS = 6_000


async def test_copy_takes_a_long_answer_whole_and_as_it_was_written(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await chat.send(script(tokens=WORDS, word="costs_$", paragraph=50))
    answers = chat.page.locator("[data-step-type=assistant_message]")

    async def in_several() -> bool:
        return await answers.count() > 2

    await until(in_several, within=30, what="the page has it in several messages")
    await chat.finishes()
    for _ in range(2):
        await answers.last.get_by_role("button", name="Copy").click()
        await answers.last.get_by_role("button", name="Copied").wait_for()
        copied = await chat.page.evaluate("navigator.clipboard.readText()")
        assert copied.split() == [f"costs_${number}" for number in range(WORDS)]
        await chat.reload()


SCROLLED = """
() => {
  let box = document.querySelector('[data-step-type]');
  while (getComputedStyle(box).overflowY !== 'auto') box = box.parentElement;
  return {top: box.scrollTop, left: box.scrollHeight - box.scrollTop - box.clientHeight};
}
"""


async def test_the_page_follows_what_grows_until_a_person_scrolls_away(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    question = script("call draw {}", tokens=300, rate=400, word="f", paragraph=4, hold="150,250")
    chat = await open_chat(shared_server.url)

    async def scrolled() -> dict[str, float]:
        found: dict[str, float] = await chat.page.evaluate(SCROLLED)
        return found

    async def at_end() -> bool:
        return (await scrolled())["left"] <= 10

    await chat.send(question)
    await chat.sees_word(149, word="f")
    await chat.page.locator(".js-plotly-plot .barlayer").wait_for()
    await until(at_end, within=30, what="the last word in sight, although a chart was drawn late")
    await chat.send(script(tokens=2, word="waits"))
    await chat.page.get_by_test_id("job-remove").wait_for()
    await expect(chat.page.get_by_text(re.compile(r"\bf148\b"))).to_be_in_viewport()
    await chat.page.get_by_test_id("job-remove").click()

    await chat.page.mouse.move(600, 300)
    await chat.page.mouse.wheel(0, -400)
    await until(lambda: scrolled_away(scrolled), within=30, what="the page scrolls up")
    top = (await scrolled())["top"]
    shared_endpoint.release(question)
    await chat.sees_word(249, word="f")
    assert (await scrolled())["top"] == top
    await chat.button("Go to the newest message").click()
    await until(at_end, within=30, what="the page is at its end again")
    shared_endpoint.release(question)
    await chat.sees_word(299, word="f")
    await chat.finishes()
    await until(at_end, within=30, what="the page follows again")


async def scrolled_away(scrolled: Callable[[], Awaitable[dict[str, float]]]) -> bool:
    return (await scrolled())["left"] > 100


async def test_formulas_are_drawn_and_prices_are_not(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script("$1 or $2", tokens=3, word=r"\(x^2\)_$"))
    await chat.finishes()
    answer = chat.page.locator("[data-step-type=assistant_message]")
    await expect(answer.locator("math")).to_have_count(3)
    await expect(answer).to_contain_text("_$2")
    await expect(chat.page.locator("[data-step-type=user_message]")).to_contain_text("$1 or $2")


async def test_each_paragraph_runs_in_the_direction_of_its_script(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script(tokens=4, word="שלום", paragraph=2))
    await chat.finishes()
    await expect(chat.page.locator("[data-step-type=assistant_message] .message-content")).to_have_css(
        "direction", "rtl"
    )
