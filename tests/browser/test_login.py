"""Logging in with the form, as a person does."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from playwright.async_api import Browser, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import new_context
from tests.browser.page import Chat
from tests.conftest import StartServer
from tests.endpoint import script
from tests.identity import IdentityProvider

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
TOKENS = 20
LOGIN = re.compile("/login$")


@pytest.fixture
def users(tmp_path: Path) -> str:
    people = {"alice": "wonderland", "bob": "the builder"}
    file = tmp_path / "users"
    file.write_text("".join(f"{name}:{QUICK.hash(password)}\n" for name, password in people.items()))
    return str(file)


@pytest_asyncio.fixture(loop_scope="session")
async def pages(browser: Browser) -> AsyncIterator[list[Page]]:
    """Two people's browsers."""
    contexts = [await new_context(browser) for _ in range(2)]
    yield [await context.new_page() for context in contexts]
    for context in contexts:
        await context.close()


async def log_in(page: Page, name: str, password: str) -> None:
    await page.wait_for_url("**/login")
    await page.fill("#email", name)
    await page.fill("#password", password)
    await page.click("button[type=submit]")


async def test_a_person_logs_in_and_finds_the_answer_after_a_reload_and_by_its_link_and_nobody_else_does(
    start_server: StartServer, users: str, pages: list[Page]
) -> None:
    server = await start_server(LONGHAUL_USERS_FILE=users)
    alice, bob = (Chat(page, server.url) for page in pages)
    await alice.page.goto(server.url)
    await log_in(alice.page, "alice", "the builder")
    await alice.page.get_by_text("Wrong name or password").wait_for()
    assert await violations(alice.page) == []
    picture = alice.page.locator("img[src='/public/login.svg']")
    await expect(picture).to_have_attribute("alt", "")
    assert await picture.evaluate("image => image.complete && image.naturalWidth > 0")
    await log_in(alice.page, "alice", "wonderland")
    await alice.ready()
    await alice.send(script(tokens=TOKENS))
    await alice.has_words(TOKENS)
    thread = await alice.in_thread()
    await alice.reload()
    await alice.has_words(TOKENS)

    await bob.page.goto(server.url + thread)
    await log_in(bob.page, "bob", "the builder")
    await bob.page.get_by_text("Thread not found").first.wait_for()
    assert await bob.questions() == []

    await alice.page.context.clear_cookies()
    await alice.page.goto(server.url + thread)
    await log_in(alice.page, "alice", "wonderland")
    await alice.page.wait_for_url(server.url + thread)
    await alice.has_words(TOKENS)


async def test_an_administrator_sees_the_jobs_of_others(
    start_server: StartServer, users: str, pages: list[Page]
) -> None:
    server = await start_server(LONGHAUL_USERS_FILE=users, LONGHAUL_ADMINS="alice")
    alice, bob = (Chat(page, server.url) for page in pages)
    await bob.page.goto(server.url)
    await log_in(bob.page, "bob", "the builder")
    await bob.ready()
    await bob.send(script("Bob asks.", tokens=2, delay=60))
    await bob.page.get_by_test_id("job-stop").wait_for()
    await bob.page.goto(f"{server.url}/jobs")
    await bob.page.get_by_test_id("job-row").wait_for()
    await expect(bob.page.get_by_label("Everybody's")).to_be_hidden()

    await alice.page.goto(f"{server.url}/login")
    await log_in(alice.page, "alice", "wonderland")
    await alice.ready()
    await alice.page.goto(f"{server.url}/jobs")
    await expect(alice.page.get_by_text("No jobs yet")).to_be_visible()
    await alice.page.get_by_label("Everybody's").check()
    row = alice.page.get_by_test_id("job-row")
    await expect(row).to_contain_text("bob")
    await row.get_by_role("button", name="Stop").click()
    await expect(row).to_have_attribute("data-state", "cancelled")
    await expect(bob.page.get_by_test_id("job-row")).to_have_attribute("data-state", "cancelled")
    await expect(row.get_by_role("button", name="Retry")).to_be_hidden()
    await row.get_by_role("button", name="Delete").click()
    await expect(row).to_have_count(0)


async def test_a_provider_sends_its_user_back_into_the_chat(start_server: StartServer, pages: list[Page]) -> None:
    with IdentityProvider() as provider:
        server = await start_server(**provider.environment)
        alice = Chat(pages[0], server.url)
        await alice.page.goto(server.url)
        await alice.page.get_by_role("button", name="generic").click()
        await alice.ready()
        assert (await (await alice.page.request.get(f"{server.url}/user")).json())["identifier"] == "generic:no-alice"


async def test_who_logs_out_or_is_removed_sees_the_login_in_every_open_tab(
    start_server: StartServer, users: str, pages: list[Page]
) -> None:
    server = await start_server(LONGHAUL_USERS_FILE=users)
    for page, name, password in zip(pages, ("alice", "bob"), ("wonderland", "the builder"), strict=True):
        await page.goto(server.url)
        await log_in(page, name, password)
        await Chat(page, server.url).ready()
    another_tab = await pages[0].context.new_page()
    await another_tab.goto(server.url)
    await Chat(another_tab, server.url).ready()
    await pages[0].locator("#user-nav-button").click()
    await pages[0].get_by_role("menuitem", name="Log out").click()
    for page in (pages[0], another_tab):
        await expect(page).to_have_url(LOGIN)  # a tab may be told twice: waiting for one load would see it break off
    lines = Path(users).read_text().splitlines()
    Path(users).write_text(f"{lines[0]}\n")
    await expect(pages[1]).to_have_url(LOGIN)
