"""Tools under `/`: their forms, checked where they are filled in, and kept over reloads, tabs and restarts."""

import asyncio
from pathlib import Path

from playwright.async_api import Route, expect

from tests.browser.conftest import OpenChat
from tests.server import Server
from tests.waiting import until


async def test_a_tool_is_chosen_filled_in_mended_and_run_by_keyboard(
    shared_server: Server, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    page = chat.page
    await page.fill("#chat-input", "/describe")
    await page.locator(".command-item", has_text="Tell what was filled in.").wait_for()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    form = await chat.form("describe_all")
    assert not await chat.shows_stop(), "a draft is nothing that runs"

    years = form.get_by_label("Years")
    await expect(years).to_have_value("30")
    await years.fill("0")
    await years.press("Enter")
    await expect(years).to_have_attribute("aria-invalid", "true")
    title = form.get_by_label("Title")
    await expect(title).to_be_focused()
    await expect(title).to_have_accessible_description("This is required.")
    await expect(years).to_have_accessible_description(
        "How long to save. At least 1 and at most 80. Must be at least 1."
    )
    assert len(await chat.steps()) == 2, "nothing has run"

    await years.fill("7")
    await title.fill("A house")
    await title.press("Enter")
    await chat.says("A house: 7, 0.5, short")
    assert "Title: A house · Years: 7" in await chat.sent_form("describe_all")
    await chat.finishes()
    shown = await chat.answer()
    await chat.reload()
    await chat.sent_form("describe_all")
    assert await chat.says("A house: 7, 0.5, short") == shown
    await expect(page.locator(".command-span")).to_have_text(["describe_all"])


async def test_a_form_is_the_same_after_a_reload_and_in_another_tab_and_runs_once(
    shared_server: Server, open_chat: OpenChat, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    first = await open_chat(shared_server.url)
    await first.send(f"/note file={notes} something to keep")
    form = await first.form("note")
    await form.get_by_label("Text").fill("typed, not sent")
    await first.reload()
    await expect((await first.form("note")).get_by_label("Text")).to_have_value("typed, not sent")
    second = await open_chat(shared_server.url, await first.in_thread())
    await expect((await second.form("note")).get_by_label("Text")).to_have_value("something to keep")

    twice = "form => { form.requestSubmit(); form.requestSubmit(); }"
    forms = [await tab.form("note") for tab in (first, second)]
    await asyncio.gather(*(form.evaluate(twice) for form in forms))
    for tab in (first, second):
        await tab.sent_form("note")
        await expect(tab.page.locator("[data-step-type=assistant_message]")).to_have_count(2)
    [written] = notes.read_text().splitlines()
    for tab in (first, second):
        assert (await tab.says(written)).endswith(f"\n{written}")
        assert f"Text: {written}" in await tab.sent_form("note")


async def test_what_only_the_tool_finds_wrong_comes_back_to_the_field(
    shared_server: Server, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send("/halve 3")
    form = await chat.form("halve")
    await form.get_by_role("button", name="Run").click()
    number = form.get_by_label("Number")
    await expect(number).to_have_attribute("aria-invalid", "true")
    await expect(number).to_have_value("3")
    await expect(form).to_contain_text("must be even")
    await number.fill("4")
    await number.press("Enter")
    await chat.says("The half is 2.")


async def test_a_tool_that_failed_takes_other_arguments(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send("/describe_all unlucky")
    await (await chat.form("describe_all")).get_by_role("button", name="Run").click()
    await chat.says("This title brings bad luck; choose another one.")
    await chat.button("Retry").wait_for()
    await chat.reload()
    await chat.button("Change arguments").click()
    form = await chat.form("describe_all")
    await form.get_by_role("button", name="Cancel").click()
    await chat.sent_form("describe_all")
    await chat.button("Change arguments").click()
    title = form.get_by_label("Title")
    await expect(title).to_have_value("unlucky")
    await title.fill("lucky")
    await title.press("Enter")
    await chat.says("lucky: 30")


async def test_a_completed_tool_runs_again_with_other_arguments_as_a_new_job(
    shared_server: Server, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send("/halve number=8")
    await (await chat.form("halve")).get_by_role("button", name="Run").click()
    await chat.says("The half is 4.")
    await chat.button("Change arguments").click()
    form = await chat.form("halve")
    await expect(form.get_by_label("Number")).to_have_value("8")
    await form.get_by_label("Number").fill("6")
    await form.get_by_label("Number").press("Enter")
    await chat.says("The half is 3.")


async def test_files_of_the_chat_and_new_ones_can_be_given(
    shared_server: Server, open_chat: OpenChat, tmp_path: Path
) -> None:
    attached, added = tmp_path / "attached.txt", tmp_path / "added.txt"
    for file in (attached, added):
        file.write_text(file.name)
    chat = await open_chat(shared_server.url)
    await chat.upload(attached)
    await chat.send("/describe_all Files")
    form = await chat.form("describe_all")
    await expect(form.get_by_label("Report").locator("option:checked")).to_contain_text("attached.txt")
    papers = form.get_by_role("group", name="Papers")
    await expect(papers.get_by_label("attached.txt")).to_be_checked()
    await papers.locator("input[type=file]").set_input_files(str(added))
    await expect(papers.get_by_label("added.txt")).to_be_checked()
    await form.get_by_role("button", name="Run").click()
    await chat.says("attached.txt, ['attached.txt', 'added.txt']")
    await chat.reload()
    assert "added.txt" in await chat.sent_form("describe_all")


async def test_an_unknown_command_is_a_sentence_and_no_turn(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send("/nothing")
    await chat.page.get_by_text("There is no command /nothing.").wait_for()
    await chat.finishes()
    assert [kind for kind, _ in await chat.steps()] == ["user_message"]


async def test_what_is_typed_before_the_page_is_connected_is_not_lost(
    shared_server: Server, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    drawn: list[bool] = []

    async def answer_when_drawn(route: Route) -> None:
        await until(lambda: bool(drawn), within=30, what="the composer was drawn before the page knew who is there")
        await route.continue_()

    await chat.page.route("**/auth/config", answer_when_drawn)
    await chat.page.reload(wait_until="commit")
    await chat.page.fill("#chat-input", "typed early")
    drawn.append(True)
    await chat.page.wait_for_selector("#upload-button")
    assert await chat.page.input_value("#chat-input") == "typed early"
    await chat.page.wait_for_selector("#chat-submit:not([disabled])")
