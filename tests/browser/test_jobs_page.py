"""The page of all jobs: live, from any thread, with what can be done about each; usable on a phone."""

import re

from playwright.async_api import Browser, expect

from tests.browser.conftest import OpenChat
from tests.browser.page import PHONE
from tests.endpoint import Endpoint, script
from tests.server import Server


async def test_jobs_of_all_threads_are_shown_live_and_can_be_stopped_retried_and_deleted(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat, browser: Browser
) -> None:
    question = script(tokens=20, hold=5, word="j")
    chat = await open_chat(shared_server.url)
    await chat.page.get_by_role("link", name="Jobs").click()
    page = chat.page
    await expect(page.get_by_role("heading", name="Jobs")).to_be_visible()

    other = await open_chat(shared_server.url)
    await other.send(question)
    await other.sees_word(4, word="j")
    row = page.get_by_test_id("job-row").first
    await expect(row).to_have_attribute("data-state", "working")
    await expect(row.get_by_role("link")).to_have_attribute("href", re.compile("^/thread/"))
    await row.get_by_role("button", name="Stop").click()
    await expect(row).to_have_attribute("data-state", "cancelled")
    await row.get_by_role("button", name="Retry").click()
    newest = page.get_by_test_id("job-row").first
    await expect(newest).to_have_attribute("data-state", "working")
    shared_endpoint.release(question)
    await expect(newest).to_have_attribute("data-state", "completed")

    rows = page.get_by_test_id("job-row")
    count = await rows.count()
    await page.get_by_label("Show").select_option("failed")
    assert await rows.and_(page.locator("[data-state=completed]")).count() == 0
    await page.get_by_label("Show").select_option("")
    await expect(rows).to_have_count(count)
    await newest.get_by_role("button", name="Delete").click()
    await expect(rows).to_have_count(count - 1)

    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
