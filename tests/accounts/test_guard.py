"""What a request must show to be served."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from accounts import RequestGuard

HOSTS = ("localhost", "127.0.0.1", "[::1]")


async def answer(headers: dict[str, str], kind: str = "http", **guard: Any) -> int:
    """The status: 200 when the app was reached."""
    sent: list[MutableMapping[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    scope = {"type": kind, "path": "/", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    await RequestGuard(app, allowed_hosts=HOSTS, **guard)(scope, receive, send)
    return int(sent[0].get("status", sent[0].get("code", 0)))


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "[::1]"]
)
async def test_our_own_names_are_served(host: str) -> None:
    assert await answer({"host": host}) == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "localhost:x"])
async def test_a_foreign_host_is_misdirected(host: str) -> None:
    assert await answer({"host": host}) == 421


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8000", 200),
        ("http://localhost:9000", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[evil", 403),
        ("https://chat.example", 200),
    ],
)
async def test_only_our_own_pages_and_allowed_ones_may_call(origin: str, status: int) -> None:
    headers = {"host": "localhost:8000", "origin": origin}
    assert await answer(headers, allowed_origins=("https://chat.example/",)) == status


async def test_a_websocket_of_another_sites_page_is_closed() -> None:
    assert await answer({"host": "localhost:8000", "origin": "https://evil.example"}, kind="websocket") == 1008
