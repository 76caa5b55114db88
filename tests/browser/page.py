"""One tab of the chat as a person sees it."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, ViewportSize

from tests.waiting import until

PHONE = ViewportSize(width=360, height=740)

# Runs in every document before anything else. Looks at the page after each change and keeps: when each numbered word
# of the last answer was first seen (ms), which words went away again, and which were there twice.
RECORDER = """
(() => {
  const seen = new Map(), record = {gone: [], doubled: []};
  window.recorder = {seen, record};
  let questions = 0;
  const answer = () => {
    const steps = [...document.querySelectorAll('[data-step-type]')];
    const asked = steps.findLastIndex(step => step.dataset.stepType === 'user_message');
    const count = steps.filter(step => step.dataset.stepType === 'user_message').length;
    if (count > questions) { questions = count; seen.clear(); }
    return steps.slice(asked + 1).filter(step => step.dataset.stepType === 'assistant_message')
      .map(step => step.textContent).join(' ');
  };
  const look = () => {
    const words = answer().match(/\\b[a-z]\\d+\\b/g) || [], now = new Set(words);
    for (const word of seen.keys()) if (!now.has(word)) record.gone.push([performance.now(), word]);
    if (now.size < words.length) record.doubled.push([performance.now(), words.filter((w, i) => words.indexOf(w) < i)]);
    for (const word of now) if (!seen.has(word)) seen.set(word, performance.now());
  };
  document.addEventListener('click', event => {
    if (event.target.closest('[data-testid=job-stop]')) window.recorder.stoppedAt = Date.now();
  }, true);
  new MutationObserver(look).observe(document, {childList: true, subtree: true, characterData: true});
})()
"""

SUBMIT_AT = """
at => new Promise(done => setTimeout(done, at - Date.now())).then(() => document.querySelector('#chat-submit').click())
"""

STEPS = """
[...document.querySelectorAll('[data-step-type]')].map(step => {
  const message = step.dataset.stepType.endsWith('_message') && step.querySelector('.message-content');
  const kind = step.querySelector('.job-card') ? 'card' : step.dataset.stepType;
  return [kind, (message || step).innerText.trim()];
})
"""


class Chat:
    """A tab. `base` is the server (or the proxy before it)."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base

    async def open(self, path: str = "/") -> None:
        await self.page.goto(self.base + path)
        await self.ready()

    async def ready(self) -> None:
        await self.page.wait_for_selector("#chat-input")

    async def reload(self) -> None:
        await self.page.reload()
        await self.ready()

    async def send(self, text: str) -> None:
        await self.page.fill("#chat-input", text)
        await self.page.click("#chat-submit:not([disabled])")

    async def form(self, tool: str) -> Locator:
        """Waits for the open form of the tool."""
        form = self.page.get_by_role("form", name=f"Arguments of {tool}")
        await form.wait_for()
        return form

    async def sent_form(self, tool: str) -> str:
        """Waits for a form that was sent; what it says in one line."""
        line = self.page.locator("details.tool-form summary", has_text=f"/{tool}")
        await line.wait_for()
        return await line.inner_text()

    async def send_at(self, text: str, moment: float) -> None:
        """Sends at that wall-clock moment, to the millisecond: together with another tab."""
        await self.page.fill("#chat-input", text)
        await self.page.evaluate(SUBMIT_AT, moment * 1000)

    async def upload(self, file: Path) -> None:
        await self.page.wait_for_selector("#upload-button")  # not there before the socket is: files would be dropped
        async with self.page.expect_response("**/project/file*") as answered:
            await self.page.set_input_files("#upload-button-input", str(file))
        assert (await answered.value).ok
        await self.page.locator("#attachments", has_text=file.name).wait_for()

    async def press_stop(self) -> float:
        """Monotonic time of the click, as the page saw it: the way there takes longer than what is measured from it."""
        await self.stop_button.click()
        clicked_at: float = await self.page.evaluate("window.recorder.stoppedAt")
        return time.monotonic() - (time.time() - clicked_at / 1000)

    async def in_thread(self) -> str:
        """The path of the thread's own page."""
        await self.page.wait_for_url("**/thread/*")
        return self.page.url.removeprefix(self.base)

    @property
    def stop_button(self) -> Locator:
        return self.page.get_by_test_id("job-stop").first

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def shows_stop(self) -> bool:
        return await self.stop_button.is_visible()

    async def steps(self) -> list[tuple[str, str]]:
        """What the conversation shows, top to bottom: kind of step and its text, without the buttons below it."""
        found: list[list[str]] = await self.page.evaluate(STEPS)
        return [(kind, text) for kind, text in found]

    async def questions(self) -> list[str]:
        return [text for kind, text in await self.steps() if kind == "user_message"]

    async def answer(self) -> str:
        """All that the assistant and the card say after the last question."""
        steps = await self.steps()
        asked = max((i for i, (kind, _) in enumerate(steps) if kind == "user_message"), default=-1)
        return "\n".join(text for kind, text in steps[asked + 1 :] if kind in {"assistant_message", "card"})

    async def words(self, word: str = "w") -> list[int]:
        """The numbers of the numbered words in the last answer, as shown."""
        return numbers(await self.answer(), word)

    async def sees_word(self, number: int, *, within: float = 60, word: str = "w") -> None:
        async def shown() -> bool:
            return number in await self.words(word)

        await until(shown, within=within, what=f"{word}{number} on the page")

    async def says(self, *texts: str, within: float = 60) -> str:
        """Waits until the last answer contains all the texts, whatever their case; gives the answer."""

        async def contained() -> str:
            answer = await self.answer()
            return answer if all(text.lower() in answer.lower() for text in texts) else ""

        try:
            return await until(contained, within=within, what=f"an answer with {texts}")
        except AssertionError as missing:
            raise AssertionError(f"{missing}; the answer is {await self.answer()!r}") from None

    @property
    def card(self) -> Locator:
        """The job card of the last turn that has one."""
        return self.page.get_by_test_id("job-card").last

    async def shows_step(self, name: str, *, within: float = 60) -> None:
        """Waits until the card shows a tool's step while the job runs."""
        step = self.card.get_by_test_id("job-step").filter(has_text=name)
        await step.first.wait_for(timeout=within * 1000)
        await self.runs()

    async def finishes(self, *, within: float = 60) -> None:
        """Waits until nothing runs any more for this tab."""
        await self.stop_button.wait_for(state="hidden", timeout=within * 1000)

    async def runs(self, *, within: float = 60) -> None:
        await self.stop_button.wait_for(state="visible", timeout=within * 1000)

    async def has_words(self, count: int, *, within: float = 60, word: str = "w") -> None:
        """Waits for the last word and the end, then every word must be there once, in order."""
        await self.sees_word(count - 1, within=within, word=word)
        await self.finishes()
        assert_words(await self.words(word), count)

    async def seen_at(self) -> dict[str, float]:
        """For each numbered word of the last answer, the seconds (of the page's clock) when it was first seen."""
        entries: list[list[Any]] = await self.page.evaluate("[...window.recorder.seen]")
        return {word: at / 1000 for word, at in entries}

    async def record(self) -> dict[str, list[Any]]:
        """What went away and what was doubled since the page was loaded."""
        record: dict[str, list[Any]] = await self.page.evaluate("window.recorder.record")
        return record


def numbers(text: str, word: str = "w") -> list[int]:
    return [int(number) for number in re.findall(rf"\b{word}(\d+)\b", text)]


def assert_words(shown: Sequence[int], count: int) -> None:
    missing = sorted(set(range(count)) - set(shown))
    doubled = sorted({number for number in shown if shown.count(number) > 1})
    assert list(shown) == list(range(count)), f"missing {missing}, doubled {doubled}, shown {shown}"
