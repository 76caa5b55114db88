"""Two messages at once from two tabs of one thread: turns run one after the other, in the same order everywhere."""

import asyncio
import time

from tests.browser.conftest import OpenChat
from tests.browser.page import Chat, assert_words, numbers
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until


async def test_both_messages_are_answered_in_one_order_live_in_both_tabs(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    first = await open_chat(shared_server.url)
    await first.send(script(tokens=3, word="z"))
    await first.has_words(3, word="z")
    second = await open_chat(shared_server.url, await first.in_thread())
    await second.has_words(3, word="z")

    questions = {word: script(tokens=120, rate=240, word=word, hold=60) for word in "ab"}
    soon = time.time() + 0.5
    await asyncio.gather(first.send_at(questions["a"], soon), second.send_at(questions["b"], soon))

    tabs = (first, second)
    await until(lambda: live_in_both(tabs), within=30, what="words of the same answer live in both tabs")
    for question in questions.values():
        shared_endpoint.release(question)
    for tab in tabs:
        await until(lambda tab=tab: answered(tab), within=30, what="both answers, whole")  # type: ignore[misc]
        await tab.finishes()
    order = [conversation(await tab.steps()) for tab in tabs]
    assert order[0] == order[1]
    assert sorted(order[0][1:]) == [("a", "a"), ("b", "b")]
    for tab in tabs:
        await tab.reload()
        await until(lambda tab=tab: answered(tab), within=30, what="both answers after a reload")  # type: ignore[misc]
        assert conversation(await tab.steps()) == order[0]


async def live_in_both(tabs: tuple[Chat, Chat]) -> bool:
    """Some answer is under way, not yet whole, in both tabs."""
    shown = [await tab.steps() for tab in tabs]
    texts = ["\n".join(text for kind, text in steps if kind == "assistant_message") for steps in shown]
    return any(all(0 < len(numbers(text, word)) < 120 for text in texts) for word in "ab")


async def answered(tab: Chat) -> bool:
    text = "\n".join(text for kind, text in await tab.steps() if kind == "assistant_message")
    return all(119 in numbers(text, word) for word in "ab")


def conversation(steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each question's word with the word of the answer that stands behind it; every answer must be whole."""
    turns: list[tuple[str, str]] = []
    for kind, text in steps:
        if kind == "user_message":
            turns.append((text.partition("word=")[2][:1], ""))
        elif kind == "assistant_message" and text:
            word = text[0]
            assert_words(numbers(text, word), 3 if word == "z" else 120)
            turns[-1] = (turns[-1][0], word)
    return turns
