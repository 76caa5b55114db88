"""How an answer looks, and what Copy takes of it."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.conftest import OpenChat
from tests.endpoint import script
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
