"""The chat behind the recommended nginx: its websocket, its uploads, and a reload in mid-answer."""

from __future__ import annotations

from pathlib import Path

from tests.browser.conftest import OpenChat
from tests.conftest import StartServer
from tests.endpoint import Endpoint, script
from tests.proxies.nginx import Nginx, recommended


async def test_the_chat_streams_resumes_and_uploads_through_the_recommended_nginx(
    start_server: StartServer, endpoint: Endpoint, open_chat: OpenChat, tmp_path: Path
) -> None:
    server = await start_server(LONGHAUL_ALLOW_ANONYMOUS="1")
    note = tmp_path / "note.txt"
    note.write_text("x" * 6_000_000)  # larger than any other request may be
    async with Nginx(tmp_path / "nginx", recommended(), server.port) as nginx:
        chat = await open_chat(nginx.url)
        await chat.upload(note)
        question = script(tokens=20, hold=8)
        await chat.send(question)
        await chat.sees_word(7)
        await chat.in_thread()

        await chat.reload()
        await chat.sees_word(7)
        [request] = endpoint.requests(question)
        endpoint.release(request.script)  # which names the file as well

        await chat.has_words(20)
        assert note.name in await chat.page.inner_text("body")
        await chat.page.close()
        assert "[error]" not in nginx.errors(), nginx.errors()
