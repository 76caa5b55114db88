"""What the pages load: nothing from another site, whatever they show, and all of their own without a complaint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import OpenChat
from tests.browser.elsewhere import Elsewhere, elsewhere
from tests.browser.page import Chat
from tests.endpoint import script
from tests.server import ROOT, Server

# Each way in which a page could ask another site, were its policy not there; settles when the browser has decided.
ASK_EVERYWHERE = """
async url => {
  const made = (name, fields) => Object.assign(document.createElement(name), fields);
  const frame = made('iframe', {name: 'inner'});
  const elements = [
    made('img', {src: url}), made('video', {src: url, autoplay: true}), made('audio', {src: url, autoplay: true}),
    made('iframe', {src: url}), made('object', {data: url}), made('embed', {src: url}), made('script', {src: url}),
    made('link', {rel: 'stylesheet', href: url}), made('link', {rel: 'prefetch', href: url}),
    made('link', {rel: 'icon', href: url}), made('link', {rel: 'manifest', href: url}),
    made('div', {style: `background: url(${url})`, innerHTML: `<svg><image href="${url}"/></svg>`}),
    made('style', {textContent: `@import url(${url}); @font-face {font-family: f; src: url(${url})}`}),
    made('p', {style: 'font-family: f', textContent: 'text'}),
    made('img', {src: `data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg"><image href="${url}"/></svg>`}),
    frame, made('form', {action: url, target: 'inner'}),
    made('a', {href: '#', ping: url}),
  ];
  document.body.append(...elements);
  elements.at(-1).click();
  elements.at(-2).submit();
  navigator.sendBeacon(url);
  const attempts = [fetch(url, {mode: 'no-cors'}), import(url)].map(one => one.catch(() => {}));
  const socket = url.replace('http', 'ws');
  for (const make of [() => new WebSocket(socket), () => new EventSource(url), () => new Worker(url)])
    try { make(); } catch {}
  await Promise.all(attempts);
  await new Promise(done => setTimeout(done, 300));
}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[Elsewhere]:
    async with elsewhere() as site:
        yield site


def complaints(page: Page) -> list[str]:
    """What the browser will say of errors on the page."""
    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


async def links(chat: Chat) -> set[str]:
    return set(await chat.page.locator("a.elsewhere:visible").all_inner_texts())


async def test_nothing_is_fetched_from_another_site_and_its_pictures_are_links(
    shared_server: Server, open_chat: OpenChat, site: Elsewhere, tmp_path: Path
) -> None:
    chat = await open_chat(shared_server.url)
    document = tmp_path / "letter.md"
    document.write_text(site.lures("document"))
    await chat.upload(document)
    call = json.dumps({"text": site.lures("tool")})
    await chat.send(f"{site.lures('question')}\n\n{script(f'call quote {call}', tokens=3)}")
    await chat.has_words(3)
    host = site.url.removeprefix("http://")
    names = {"document", "document-reference", "Video"}
    for _ in range(2):
        assert site.lures("question").strip() in await chat.page.locator("[data-step-type=user_message]").inner_text()
        for name in names:
            await chat.page.locator("a.elsewhere:visible", has_text=f"{name} ({host})").first.wait_for()
        await chat.card.get_by_role("button", name="Details").click()
        await chat.card.get_by_test_id("job-step").filter(has_text="quote").locator("summary").click()
        result = chat.card.get_by_label("Result of quote")
        assert site.lures("tool").strip() in await result.inner_text(), "as it is, and nothing of it drawn"
        await chat.reload()
        await chat.has_words(3)
    assert (site.connections, site.asked) == (0, [])

    async with chat.page.expect_popup() as opening:
        await chat.page.get_by_role("link", name=f"document ({host})").click()
    await (await opening.value).wait_for_load_state()
    assert site.asked[0].startswith("GET /document.png?secret HTTP/1.1")
    assert "referer" not in site.asked[0].lower()


async def test_deep_chat_fetches_nothing_from_another_site_either(
    shared_server: Server, browser: Browser, site: Elsewhere
) -> None:
    page = await browser.new_page()
    await page.goto(f"{shared_server.url}/deep-chat")
    await page.locator("deep-chat #text-input").fill(script(f"call quote {json.dumps({'text': site.lures('tool')})}"))
    await page.keyboard.press("Enter")
    await page.locator("deep-chat a", has_text="tool (127.0.0.2:").first.wait_for()
    await page.locator("deep-chat a", has_text="tool-reference (127.0.0.2:").first.wait_for()
    assert site.connections == 0
    await page.close()


@pytest.mark.parametrize("path", ["/", "/login", "/deep-chat", "/api/docs"])
async def test_no_page_reaches_another_site_in_any_way(
    shared_server: Server, browser: Browser, site: Elsewhere, path: str
) -> None:
    page = await browser.new_page()
    await page.goto(shared_server.url + path)
    await page.evaluate(ASK_EVERYWHERE, f"{site.url}/{path}")
    assert site.asked == []  # before Chromium refuses a frame or a form it may connect, and says nothing
    await page.close()


@pytest.mark.parametrize(
    ("path", "shown"),
    [("/", "#chat-input"), ("/deep-chat", "deep-chat #text-input"), ("/api/docs", "#operations-tag-jobs, .opblock")],
)
async def test_a_page_loads_without_a_complaint_of_the_browser(
    shared_server: Server, browser: Browser, path: str, shown: str
) -> None:
    page = await browser.new_page()
    heard = complaints(page)
    await page.goto(shared_server.url + path)
    await page.locator(shown).first.wait_for()
    await page.wait_for_load_state("networkidle")
    assert heard == []
    await page.close()


async def test_forms_charts_tables_and_files_are_shown_without_a_complaint_of_the_browser(
    shared_server: Server, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    heard = complaints(chat.page)
    await chat.upload(ROOT / "README.md")
    await chat.send(script(tokens=1))
    await chat.has_words(1)
    await chat.send("/draw")
    await (await chat.form("draw")).get_by_role("button", name="Run").click()
    await chat.says("Drawn.")
    await chat.reload()
    await expect(chat.page.locator(".js-plotly-plot .barlayer .point")).to_have_count(3, timeout=20_000)
    await expect(chat.page.locator(".dataframe tbody tr")).to_have_count(10)
    await chat.sent_form("draw")
    await chat.page.locator("a.inline-file", has_text="README.md").wait_for()
    assert heard == []
