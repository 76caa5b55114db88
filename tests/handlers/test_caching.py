"""The page's code, as browsers get it."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chainlit.server import build_dir
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from handlers import caching
from handlers.caching import KeepAssets

FILES = Path(build_dir, "assets")
STYLES = next(FILES.glob("index-*.css"))
PATH = f"/assets/{STYLES.name}"


@pytest.fixture
async def page() -> AsyncIterator[httpx.AsyncClient]:
    """Chainlit's files behind the middleware."""
    app = KeepAssets(Starlette(routes=[Mount("/assets", StaticFiles(directory=FILES))]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
        yield client


async def test_a_file_is_compressed_once_for_all_and_on_a_thread(
    page: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def compress(content: bytes) -> bytes:
        threads.append(threading.current_thread())
        return gzip.compress(content)

    monkeypatch.setattr(caching, "gzip", type("gzip", (), {"compress": staticmethod(compress)}))
    answers = await asyncio.gather(*(page.get(PATH) for _ in range(5)))
    assert [answer.content for answer in answers] == [STYLES.read_bytes()] * 5
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    headers = answers[0].headers
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in headers["cache-control"]


@pytest.mark.parametrize(
    ("headers", "status"), [({"accept-encoding": "identity"}, 200), ({"range": "bytes=0-9"}, 206)], ids=str
)
async def test_what_is_asked_for_otherwise_comes_as_it_is(
    page: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    answer = await page.get(PATH, headers=headers)
    assert answer.status_code == status
    assert "content-encoding" not in answer.headers
    assert answer.content == (STYLES.read_bytes() if status == 200 else STYLES.read_bytes()[:10])
    assert ("immutable" in answer.headers.get("cache-control", "")) is (status == 200)


@pytest.mark.parametrize("path", ["/assets/none.js", "/assets/../server.py", "/assets/%2e%2e/index.html"])
async def test_what_is_no_file_of_the_page_is_not_found_and_not_kept(page: httpx.AsyncClient, path: str) -> None:
    answer: Any = await page.get(path)
    assert answer.status_code == 404
    assert "cache-control" not in answer.headers
