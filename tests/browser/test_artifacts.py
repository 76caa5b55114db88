"""What tools make: drawn in the chat, paged, downloaded, and asked of nobody else."""

from urllib.parse import urljoin, urlsplit

import httpx
from playwright.async_api import FilePayload, Request, expect

from tests.browser.conftest import OpenChat
from tests.browser.page import Chat
from tests.endpoint import script
from tests.server import Server


async def test_a_chart_and_a_table_are_drawn_and_a_file_is_downloaded(
    shared_server: Server, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    asked: list[str] = []
    chat.page.on("requestfinished", lambda request: asked.append(host_of(request)))
    await chat.send("/draw")
    await (await chat.form("draw")).get_by_role("button", name="Run").click()
    await chat.says("Drawn.")
    await shows_everything(chat)
    await chat.reload()
    await shows_everything(chat)
    assert set(asked) <= {urlsplit(shared_server.url).netloc, ""}

    link = chat.card.get_by_role("link", name="chart.csv")
    async with chat.page.expect_download() as downloading:
        await link.click()
    download = await downloading.value
    assert (await download.path()).read_bytes() == b"word,count\nword0,0\n"
    assert download.suggested_filename == "chart.csv"
    await comes_as_a_download_to_its_owner_only(chat, str(await link.get_attribute("href")))
    await a_pdf_opens_and_a_page_is_a_download(chat)


async def test_what_a_chat_turns_tool_makes_is_drawn_below_the_answer(
    shared_server: Server, open_chat: OpenChat
) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script('call draw {"name": "mine"}', tokens=3))
    await chat.has_words(3)
    await shows_everything(chat, name="mine")
    kinds = [kind for kind, _ in await chat.steps()]
    assert kinds == ["user_message", "card", "assistant_message"]


async def comes_as_a_download_to_its_owner_only(chat: Chat, link: str) -> None:
    url = urljoin(chat.base, link.partition("?")[0])
    get = chat.page.request.get

    whole = await get(url)
    assert (whole.status, await whole.text()) == (200, "word,count\nword0,0\n")
    assert whole.headers["content-type"].startswith("text/csv")
    assert whole.headers["content-disposition"].startswith("attachment")
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-security-policy"] == "sandbox"
    part = await get(url, headers={"Range": "bytes=0-3"})
    assert (part.status, await part.text()) == (206, "word")

    folder = url.rpartition("/")[0]
    for missing in (f"{folder}/none.csv", f"{folder}/..%2f..%2fchart.table", f"{folder}0/chart.csv"):
        answer = await get(missing)
        assert (answer.status, "text/html" in answer.headers["content-type"]) == (404, False), missing
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(url)).status_code == 401


async def a_pdf_opens_and_a_page_is_a_download(chat: Chat) -> None:
    """A browser's own viewer shows it, which is of another origin; it cannot in a sandbox."""
    shown: dict[str, tuple[str, str]] = {}
    for name, kind in (("a.pdf", "application/pdf"), ("a.html", "text/html"), ("b.html", "application/pdf; a=b")):
        file: FilePayload = {"name": name, "mimeType": kind, "buffer": b"<script>alert(1)</script>"}
        stored = await (await chat.page.request.post(f"{chat.base}/api/files", multipart={"file": file})).json()
        headers = (await chat.page.request.get(f"{chat.base}/project/file/{stored['id']}")).headers
        assert headers["x-content-type-options"] == "nosniff"
        shown[name] = headers["content-disposition"].partition(";")[0], headers["content-security-policy"]
    sandboxed = "attachment", "sandbox; default-src 'none'"
    viewed = "inline", "default-src 'none'; frame-ancestors 'none'"
    assert shown == {"a.pdf": viewed, "a.html": sandboxed, "b.html": sandboxed}


async def shows_everything(chat: Chat, *, name: str = "chart") -> None:
    page = chat.page
    await expect(page.locator(".js-plotly-plot .barlayer .point")).to_have_count(3)
    rows = page.locator(".dataframe tbody tr")
    await expect(rows).to_have_count(10)
    await page.locator(".dataframe").get_by_text("Next").click()
    await expect(rows.first).to_contain_text("word10")
    await chat.card.get_by_role("link", name=f"{name}.csv").wait_for()


def host_of(request: Request) -> str:
    return urlsplit(request.url).netloc
