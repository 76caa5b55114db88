"""What the page says while the disk of the server is full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenChat
from tests.conftest import model_environment
from tests.disk import fill, small_disk
from tests.endpoint import Endpoint, script
from tests.server import Server


@pytest.fixture
def cramped(endpoint: Endpoint, tmp_path: Path) -> Iterator[Server]:
    """A server on a small disk of its own, not started."""
    server = Server(tmp_path, model_environment(endpoint))
    with small_disk(server.data_dir, 16):
        yield server
        server.stop()
        server.check_log()


async def test_a_file_and_a_message_for_which_there_is_no_room_are_refused_in_words_and_work_later(
    cramped: Server, open_chat: OpenChat, tmp_path: Path
) -> None:
    await cramped.start()
    chat = await open_chat(cramped.url)
    ballast = fill(cramped.data_dir)
    file = tmp_path / "large.txt"
    file.write_bytes(b"x" * 100_000)
    await chat.page.wait_for_selector("#upload-button")
    await chat.page.set_input_files("#upload-button-input", str(file))
    await expect(chat.page.get_by_text("The server's disk is full, so the file was not stored")).to_be_visible()
    await chat.send("word " * 20_000)
    await expect(chat.page.get_by_text("The server cannot read or write its data now")).to_be_visible()
    ballast.unlink()
    await chat.send(script(tokens=3))
    await expect(chat.page.get_by_text("w0 w1 w2")).to_be_visible()
