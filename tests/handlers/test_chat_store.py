"""The chat's own tables, on each database."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handlers.chat_store import ChatStore
from tests.postgres import schema_url


@pytest.fixture(params=["sqlite", "postgres"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'chat.db'}"
        return
    schema = await asyncio.to_thread(schema_url, f"chat_{secrets.token_hex(4)}")
    yield f"postgresql+psycopg://{schema.partition('://')[2]}"


async def test_an_ended_login_is_known_until_its_token_has_expired(url: str) -> None:
    async with ChatStore(url) as store, ChatStore(url) as beside:
        await store.end_login("a" * 64, 100.0)
        (first,) = await beside.logins_ended_after(0)
        assert (first.digest, first.expires_at) == ("a" * 64, 100.0)
        await beside.end_login("a" * 64, 100.0)  # once more
        await beside.end_login("b" * 64, 200.0)
        (second,) = await store.logins_ended_after(first.id)
        assert second.digest == "b" * 64
        await store.forget_logins(150.0)
        assert [one.digest for one in await beside.logins_ended_after(0)] == ["b" * 64]


async def test_an_account_keeps_the_user_of_an_earlier_version_and_no_other_gets_it(url: str) -> None:
    async with ChatStore(url) as store, ChatStore(url) as beside:
        await store.save_user("google:ada@example.org", {})
        assert await store.identity("google:7", "google:bob@example.org") == "google:7"
        assert await store.identity("google:7", "google:ada@example.org") == "google:ada@example.org"
        assert await beside.identity("google:8", "google:ada@example.org") == "google:8"
        assert await beside.identity("google:7", "google:renamed@example.org") == "google:ada@example.org"
