"""The first thing a person does: drop in a document, ask for a summary, with no account at all."""

import re

from tests.browser.conftest import OpenChat
from tests.conftest import StartServer
from tests.server import ROOT

HANDBOOK = ROOT / "samples" / "signals-handbook.pdf"


async def test_a_dropped_pdf_is_summarised_with_page_citations_and_survives_a_dead_worker(
    start_server: StartServer, open_chat: OpenChat
) -> None:
    server = await start_server(offline=True)
    chat = await open_chat(server.url)
    await chat.upload(HANDBOOK)
    await chat.send("summarise this")
    await chat.shows_step("summarize_documents")

    server.kill_workers()

    await chat.says("[p.", within=60)
    await chat.finishes(within=60)
    answer = await chat.answer()
    pages = {int(page) for page in re.findall(r"\[p\. (\d+)", answer)}
    assert len(pages) >= 3
    await chat.reload()
    assert await chat.says("[p.") == answer
    assert HANDBOOK.name in (await chat.page.inner_text("body"))
