"""The job card and the dock: what a turn does, wherever and whenever one looks; Stop, Retry, a composer that stays."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import ConsoleMessage, Page, async_playwright, expect

from tests.browser.conftest import ARGUMENTS, OpenChat
from tests.browser.page import RECORDER, Chat, assert_words
from tests.endpoint import Endpoint, script
from tests.server import Server
from tests.waiting import until

STEPS = 8
BROWSERS_WITH_NOTICES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

NOTICES = """
window.notices = [];
window.Notification = class {
  static permission = 'granted';
  constructor(title, { body }) { window.notices.push(`${title}: ${body}`); }
  addEventListener() {}
};
"""
SHOWN = """
window.notices = [];
const Real = window.Notification;
window.Notification = class extends Real {
  constructor(title, options) {
    super(title, options);
    this.addEventListener('show', () => window.notices.push(`${this.title}: ${this.body}`));
    this.addEventListener('error', () => window.notices.push('refused'));
  }
};
"""
"""Keeps the notices that the browser has shown."""
UNSEEN = """
Object.defineProperty(document, 'visibilityState', { get: () => window.away ? 'hidden' : 'visible' });
const Source = window.EventSource;
window.EventSource = class extends Source {
  addEventListener(name, listener) {
    super.addEventListener(name, name !== 'job' ? listener : ({ data }) => {
      const job = JSON.parse(data);
      listener({ data: JSON.stringify({ ...job, created_at: job.created_at - 60 }) });
    });
  }
};
"""
"""A page that can be made to look away, and takes each job for a minute older than it is."""


@pytest.fixture
def question(tmp_path: Path) -> str:
    """A turn whose tool makes eight steps of half a second; each leaves a line in a file."""
    arguments = {"file": str(tmp_path / "notes"), "steps": STEPS, "seconds": 0.5}
    return script(f"call note_in_steps {json.dumps(arguments)}", tokens=20)


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """What the consoles of the watched pages complain of."""
    heard: list[str] = []
    yield heard
    assert not heard


def watch(page: Page, errors: list[str]) -> None:
    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))


async def reads(chat: Chat, test_id: str, pattern: str) -> None:
    await expect(chat.card.get_by_test_id(test_id)).to_have_text(re.compile(pattern))


async def test_a_card_survives_a_reload_a_second_tab_and_the_death_of_its_worker_and_says_so(
    mortal_server: Server, open_chat: OpenChat, question: str, errors: list[str], tmp_path: Path
) -> None:
    chat = await open_chat(mortal_server.url)
    watch(chat.page, errors)
    await chat.send(question)
    await expect(chat.card).to_have_attribute("data-state", "working")
    await reads(chat, "job-doing", "note_in_steps")
    await chat.page.fill("#chat-input", "typed meanwhile")
    bar = chat.card.get_by_role("progressbar")
    await expect(bar).to_have_attribute("aria-valuenow", re.compile("[1-9]"))
    assert re.match(r"\d+ % · ", await chat.page.title())

    second = await open_chat(mortal_server.url, await chat.in_thread())
    watch(second.page, errors)
    await expect(second.card).to_have_attribute("data-state", "working")
    mortal_server.kill_workers()
    for tab in (chat, second):
        crash = r"^A worker died at \d.*\. Continued after .+ s: \d+ finished steps? kept, 1 started again\.$"
        await reads(tab, "job-resumed", crash)
    assert await chat.page.input_value("#chat-input") == "typed meanwhile"
    await second.reload()
    await reads(second, "job-resumed", "A worker died")
    for tab in (chat, second):
        await tab.has_words(20)
        await expect(tab.card).to_have_attribute("data-state", "completed")
        await expect(tab.card.get_by_role("button", name="Details")).to_have_attribute("aria-expanded", "false")
        assert "·" not in await tab.page.title()
    assert sorted(set((tmp_path / "notes").read_text().split("\n")[:-1])) == [f"step {one}" for one in range(STEPS)]


async def test_escape_stops_and_the_cards_retry_goes_on_from_there(
    shared_server: Server, open_chat: OpenChat, question: str, errors: list[str], tmp_path: Path
) -> None:
    chat = await open_chat(shared_server.url)
    watch(chat.page, errors)
    await chat.send(question)
    await until(lambda: "step 2" in notes_of(tmp_path), within=30, what="the third step")
    await chat.page.keyboard.press("Escape")
    await expect(chat.card).to_have_attribute("data-state", "cancelled")
    await reads(chat, "job-stopped", r"^Stopped note_in_steps at \d of 8, within .+ Retry continues from there\.$")
    await expect(chat.page.get_by_test_id("job-stop")).to_have_count(0)
    await chat.card.get_by_test_id("job-retry").click()
    await chat.has_words(20)
    await expect(chat.card).to_have_attribute("data-state", "completed")
    lines = notes_of(tmp_path).splitlines()
    assert lines.count("step 0") == 1, "a finished step does not run again"


async def test_a_message_sent_while_a_turn_runs_waits_in_the_dock_and_can_be_removed(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, errors: list[str]
) -> None:
    first = script(tokens=40, rate=200, word="a", hold=20)
    gone, last = (script(tokens=40, rate=200, word=word) for word in "bc")
    chat = await open_chat(shared_server.url)
    watch(chat.page, errors)
    await chat.send(first)
    await chat.sees_word(19, word="a")
    await chat.send(gone)
    await chat.send(last)
    removes = chat.page.get_by_test_id("job-remove")
    await expect(removes).to_have_count(2)
    await removes.first.click()
    await expect(removes).to_have_count(1)
    await expect(chat.page.get_by_text(gone)).to_have_count(0)
    shared_endpoint.release(first)
    await chat.sees_word(39, word="c")
    await chat.finishes()
    text = "\n".join(text for _, text in await chat.steps())
    for word, count in (("a", 40), ("b", 0), ("c", 40)):
        assert_words([int(one) for one in re.findall(rf"(?<!=)\b{word}(\d+)\b", text)], count)


async def test_a_waiting_message_is_edited_in_the_dock_for_every_tab_until_it_starts(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, errors: list[str]
) -> None:
    first = script(tokens=40, rate=200, word="a", hold=20)
    old, new = (script(tokens=40, rate=200, word=word) for word in "bc")
    chat = await open_chat(shared_server.url)
    watch(chat.page, errors)
    await chat.send(first)
    await chat.sees_word(19, word="a")
    await chat.send(old)
    await expect(chat.page.get_by_test_id("job-queue")).to_have_text(re.compile("^(starts in .+|no estimate yet)$"))
    second = await open_chat(shared_server.url, await chat.in_thread())
    await chat.page.get_by_test_id("job-edit").click()
    editor = chat.page.get_by_role("textbox", name="Edited message")
    await expect(editor).to_have_value(old)
    await editor.fill("left again")
    await editor.press("Escape")
    await expect(editor).to_have_count(0)
    await chat.page.get_by_test_id("job-edit").click()
    await editor.fill(new)
    await editor.press("Enter")
    for tab in (chat, second):
        await expect(tab.page.locator("[data-step-type=user_message]", has_text=new)).to_have_count(1)
        await expect(tab.page.get_by_text(old)).to_have_count(0)
    shared_endpoint.release(first)
    await chat.sees_word(39, word="c")
    await chat.finishes()
    await expect(chat.page.get_by_test_id("job-edit")).to_have_count(0)
    await chat.reload()
    assert await chat.questions() == [first, new]


async def test_a_tools_job_is_run_again_from_its_card(
    shared_server: Server, open_chat: OpenChat, errors: list[str]
) -> None:
    chat = await open_chat(shared_server.url)
    watch(chat.page, errors)
    request = {"task": "simulate_portfolio", "arguments": {"years": 1, "paths": 1_000}, "thread_id": "run-again"}
    assert (await chat.page.request.post(f"{chat.base}/api/jobs", data=request)).ok
    await chat.open("/thread/run-again")
    cards = chat.page.locator("[data-testid=job-card][data-state=completed]")
    await chat.page.get_by_test_id("job-again").click()
    await expect(cards).to_have_count(2)
    first, second = [await card.get_attribute("data-job-id") for card in await cards.all()]
    assert first != second


async def test_other_tabs_show_where_a_job_runs_and_a_long_one_is_told_when_nobody_looks(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, errors: list[str]
) -> None:
    question = script(tokens=20, rate=200, hold=10)
    chat = await open_chat(shared_server.url, fresh=True)
    watch(chat.page, errors)
    await chat.page.context.add_init_script(NOTICES + UNSEEN)
    await chat.reload()
    other = await open_chat(shared_server.url)
    watch(other.page, errors)
    await other.page.fill("#chat-input", "typed meanwhile")
    await chat.send(question)
    await chat.sees_word(9)
    thread = (await chat.in_thread()).rpartition("/")[2]
    row = f"document.getElementById('thread-{thread}')"
    dot = f"({row} && getComputedStyle({row}, '::before').content)"
    for tab in (chat, other):
        await tab.page.wait_for_function(f"{dot} === '\"\"'")
    rename = (
        "name => fetch('/project/thread', {method: 'PUT', headers: {'Content-Type': 'application/json'}, body: name})"
    )
    await chat.page.evaluate(rename, json.dumps({"threadId": thread, "name": "Renamed elsewhere"}))
    await expect(other.page.locator(f"#thread-{thread}")).to_have_text("Renamed elsewhere")
    assert (other.page.url, await other.page.input_value("#chat-input")) == (f"{other.base}/", "typed meanwhile")
    for tab in (chat, other):
        await tab.page.evaluate("window.away = true")
    shared_endpoint.release(question)
    for tab in (chat, other):
        await tab.page.wait_for_function(f"{dot} !== '\"\"'")
    await until(lambda: notices(chat, other), within=30, what="a notice")
    [notice] = await notices(chat, other)
    assert notice.startswith(question[:20])
    assert ": Done after " in notice


async def test_a_job_that_ends_before_somebodys_eyes_gives_no_notice(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    question = script(tokens=20, rate=200, hold=10)
    chat = await open_chat(shared_server.url, fresh=True)
    await chat.page.context.add_init_script(NOTICES + UNSEEN)
    await chat.reload()
    await chat.send(question)
    await chat.sees_word(9)
    other = await open_chat(shared_server.url)
    await chat.page.evaluate("window.away = true")
    shared_endpoint.release(question)
    await chat.has_words(20)
    second = script(tokens=20, rate=200, hold=10)
    await chat.send(second)
    await until(lambda: shared_endpoint.requests(second), within=30, what="the next turn runs")
    assert await notices(chat, other) == []
    shared_endpoint.release(second)
    await chat.finishes()


async def test_the_browser_shows_one_notice_however_many_tabs_are_open(
    shared_server: Server, shared_endpoint: Endpoint
) -> None:
    whole = os.environ.get("BROWSER") or next(filter(None, map(shutil.which, BROWSERS_WITH_NOTICES)), None)
    if whole is None:
        pytest.fail("Chromium's headless shell shows no notices: install chromium, or set BROWSER=/path/to/it.")
    question = script(tokens=20, rate=200, hold=10)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=whole, args=ARGUMENTS)
        context = await browser.new_context(reduced_motion="reduce")
        await context.grant_permissions(["notifications"], origin=shared_server.url)
        await context.add_init_script(RECORDER + SHOWN + UNSEEN)
        tabs = [Chat(await context.new_page(), shared_server.url) for _ in range(3)]
        for tab in tabs:
            await tab.open()
        await tabs[0].send(question)
        await tabs[0].sees_word(9)
        for tab in tabs:
            await tab.page.evaluate("window.away = true")
        shared_endpoint.release(question)
        await tabs[0].has_words(20)
        await until(lambda: notices(*tabs), within=30, what="a notice on the screen")
        [notice] = await notices(*tabs)
        assert notice.startswith(question[:20])
        assert ": Done after " in notice
        await browser.close()


async def notices(*tabs: Chat) -> list[str]:
    return [notice for tab in tabs for notice in await tab.page.evaluate("window.notices")]


async def test_a_message_sent_instead_stops_the_turn_keeps_its_text_and_is_answered(
    shared_server: Server, open_chat: OpenChat, errors: list[str]
) -> None:
    chat = await open_chat(shared_server.url)
    watch(chat.page, errors)
    await chat.send(script(tokens=40, rate=200, word="a", hold=20))
    await chat.sees_word(19, word="a")
    await chat.page.locator("#mode-picker-trigger-overlap").click()
    await chat.page.get_by_text("Interrupt", exact=True).click()
    await chat.send(script(tokens=40, rate=200, word="b"))
    await chat.sees_word(39, word="b")
    await chat.finishes()
    text = "\n".join(text for _, text in await chat.steps())
    assert_words([int(one) for one in re.findall(r"\ba(\d+)\b", text)], 20)


async def test_a_deleted_thread_leaves_every_page_that_shows_it(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script(tokens=3))
    await chat.has_words(3)
    path = await chat.in_thread()
    second = await open_chat(shared_server.url, path)
    await second.has_words(3)
    thread = {"threadId": path.rpartition("/")[2]}
    assert (await chat.page.request.delete(f"{chat.base}/project/thread", data=thread)).ok
    for tab in (chat, second):
        await tab.page.wait_for_url(f"{tab.base}/")
        await tab.ready()
        assert await tab.questions() == []


async def test_reasoning_grows_in_the_card_before_the_answer_and_is_there_after_a_reload(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, errors: list[str]
) -> None:
    question = script(tokens=20, think=40, rate=200, hold_think=20)
    chat = await open_chat(shared_server.url)
    watch(chat.page, errors)
    await chat.send(question)
    line = chat.card.locator("[data-kind=reasoning]")
    await line.locator("summary").click()
    await expect(line.locator(".job-reasoning")).to_contain_text("t0")
    await expect(chat.page.locator("#longhaul-dock")).to_contain_text("thinking")
    assert await chat.words() == []
    shared_endpoint.release(question)
    await chat.has_words(20)
    await chat.reload()
    await chat.has_words(20)
    await chat.card.get_by_role("button", name="Details").click()
    await line.locator("summary").click()
    await expect(line.locator(".job-reasoning")).to_have_text(re.compile("^t0 t1 .* t39 $"))
    assert "t0" not in "".join(text for kind, text in await chat.steps() if kind == "assistant_message")


async def test_a_plain_answer_has_the_dock_alone(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    question = script(tokens=30, rate=200, hold=10)
    chat = await open_chat(shared_server.url)
    await chat.send(question)
    await chat.sees_word(9)
    await expect(chat.page.get_by_test_id("job-stop")).to_be_visible()
    await expect(chat.page.locator("#longhaul-dock")).to_contain_text("writing the answer")
    shared_endpoint.release(question)
    await chat.has_words(30)
    assert await chat.page.get_by_test_id("job-card").count() == 0


def notes_of(folder: Path) -> str:
    file = folder / "notes"
    return file.read_text() if file.exists() else ""
