"""A real Chromium, tabs in it, and one server that the tests which do no harm to it share."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from tests.browser.page import RECORDER, Chat
from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.server import Server

HERE = Path(__file__).parent
expect.set_options(timeout=60_000)  # Playwright's own five seconds fail on a busy machine
ARGUMENTS = ["--no-sandbox", "--renderer-process-limit=1"]
"""One process draws all tabs: each further one, and the spare that is kept ready, costs the tests processor time."""
STORED = "local_storage,indexeddb,cache_storage,service_workers"
CANDIDATES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser and pages live on one loop: so do the tests that use them."""
    on_session_loop = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(on_session_loop, append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CANDIDATES)), None)
    assert executable, "no Chromium found: scripts/test finds or installs one"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def used_context(browser: Browser) -> BrowserContext:
    """The browser that most tests share: it has the page's scripts compiled, which is half of the work of a load."""
    context = await new_context(browser)
    await context.new_page()  # its process stays while no test has a tab
    return context


async def new_context(browser: Browser) -> BrowserContext:
    context = await browser.new_context(reduced_motion="reduce")  # animations are drawn by the processor
    context.set_default_timeout(60_000)  # a machine may stand still for a while
    await context.add_init_script(RECORDER)
    return context


OpenChat = Callable[..., Awaitable[Chat]]


@pytest_asyncio.fixture(loop_scope="session")
async def open_chat(
    browser: Browser, used_context: BrowserContext, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[OpenChat]:
    """`await open_chat(url, path="/")` opens a tab in the same browser as the tabs before; with `fresh` in a new one,
    where the later ones are opened, too."""
    contexts = [used_context]
    tabs: list[Chat] = []

    async def open_one(base: str, path: str = "/", *, fresh: bool = False) -> Chat:
        if fresh:
            contexts.append(await new_context(browser))
        tab = Chat(await contexts[-1].new_page(), base)
        tabs.append(tab)
        await tab.open(path)
        return tab

    failed = request.session.testsfailed
    yield open_one
    open_tabs = [tab for tab in tabs if not tab.page.is_closed()]
    leaks = [text for tab in open_tabs for _, text in await tab.steps() if "Traceback" in text]
    if leaks or request.session.testsfailed > failed:
        for index, tab in enumerate(open_tabs):
            await tab.page.screenshot(path=tmp_path / f"tab-{index}.png")
    await make_as_new(used_context, {tab.base for tab in tabs})
    for context in contexts[1:]:
        await context.close()
    assert not leaks, f"a traceback on the page: {leaks}"


async def make_as_new(context: BrowserContext, origins: set[str]) -> None:
    """Closes the tabs and forgets what these origins have stored."""
    first, *tabs = context.pages
    for tab in tabs:
        await tab.close()
    await context.unroute_all()
    await context.clear_permissions()
    await context.clear_cookies()
    devtools = await context.new_cdp_session(first)
    for origin in origins:
        await devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": STORED})
    await devtools.detach()


@pytest.fixture(scope="session")
def shared_endpoint() -> Iterator[Endpoint]:
    """The model of the shared server. Find a test's own requests by their text."""
    with Endpoint() as serving:
        yield serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def killed_server(shared_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """See `mortal_server`."""
    folder = tmp_path_factory.mktemp("mortal")
    server = Server(folder, model_environment(shared_endpoint) | {"TEST_KILL_AFTER_STEP": str(kill_file(folder))})
    yield server
    server.stop()
    server.check_log()


@pytest_asyncio.fixture(loop_scope="session")
async def mortal_server(killed_server: Server) -> Server:
    """One server for the tests that kill its web process or its workers; `kill_file` tells it the step to die at."""
    if not killed_server.web_runs():
        await killed_server.start()
    await killed_server.workers_ready()
    return killed_server


def kill_file(folder: Path) -> Path:
    return folder / "kill-after-step"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_server(shared_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One server for the tests that neither kill nor slow it."""
    server = Server(tmp_path_factory.mktemp("shared"), model_environment(shared_endpoint))
    await server.start()
    yield server
    server.stop()
    server.check_log()
