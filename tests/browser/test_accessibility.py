"""What everybody can use: axe finds nothing serious on any page, in light and in dark; keys do what is expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import expect

from tests.browser.axe import violations
from tests.browser.conftest import OpenChat
from tests.endpoint import script
from tests.server import Server


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_no_page_has_a_serious_violation(
    shared_server: Server, open_chat: OpenChat, tmp_path: Path, theme: Literal["light", "dark"]
) -> None:
    chat = await open_chat(shared_server.url)
    page = chat.page
    await page.emulate_media(color_scheme=theme)
    await chat.reload()
    assert await violations(page) == [], "the welcome page"

    notes = {"file": str(tmp_path / "notes"), "steps": 6, "seconds": 0.3}
    await chat.send(script(f"call note_in_steps {json.dumps(notes)}", tokens=20))
    await chat.card.get_by_role("progressbar").wait_for()
    assert await violations(page) == [], "a job that runs"
    await expect(chat.card).to_have_attribute("data-state", "completed")
    await chat.finishes()
    assert await violations(page) == [], "a job that has finished"

    await chat.send("/describe_all unlucky")
    await chat.form("describe_all")
    assert await violations(page) == [], "a form"

    await page.goto(f"{shared_server.url}/jobs")
    await page.get_by_test_id("job-row").first.wait_for()
    assert await violations(page) == [], "the jobs"


async def test_a_file_that_cannot_be_read_is_refused_with_a_sentence(
    shared_server: Server, open_chat: OpenChat, tmp_path: Path
) -> None:
    program = tmp_path / "setup.exe"
    program.write_bytes(b"MZ")
    chat = await open_chat(shared_server.url)
    await chat.page.wait_for_selector("#upload-button")
    await chat.page.set_input_files("#upload-button-input", str(program))
    await expect(chat.page.locator("[data-sonner-toast]")).to_have_text(
        "This kind of file cannot be read. Attach PDF, Word, HTML, Markdown or text documents, or CSV, Excel or "
        "Parquet tables."
    )


async def test_where_nobody_logs_in_nobody_can_log_out(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.page.click("#user-nav-button")
    await chat.page.get_by_role("menu").get_by_text("local").wait_for()
    await expect(chat.page.get_by_text("Log out")).to_be_hidden()


async def test_enter_confirms_a_new_name(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script("An old name", tokens=1))
    await chat.finishes()
    await chat.page.locator("#thread-options").first.click()
    await chat.page.get_by_role("menuitem", name="Rename").click()
    await chat.page.get_by_role("dialog").get_by_label("Name").fill("A newer name")
    await chat.page.keyboard.press("Enter")
    await expect(chat.page.get_by_role("dialog")).to_have_count(0)
    await chat.page.locator("[id^=thread-]", has_text="A newer name").first.wait_for()
