"""How a login ends on the real server: for its token, for its open pages, in every process, over a restart."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import jwt
import pytest
import socketio

from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.handlers.test_login import PEOPLE, LoginServer, who
from tests.open_page import page_socket
from tests.waiting import until

QUICK_PINGS = {"LONGHAUL_SSE_PING_SECONDS": "0.5"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginServer]:
    with Endpoint() as endpoint:
        server = LoginServer(tmp_path_factory.mktemp("sessions"), model_environment(endpoint) | QUICK_PINGS)
        server.expected_noise = ("Authentication failed in websocket connect",)
        yield server
        server.stop()
        server.check_log()


@pytest.fixture
async def server(kept: LoginServer) -> LoginServer:
    if not kept.log():
        await kept.start()
    return kept


@asynccontextmanager
async def with_token(server: LoginServer, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who has copied the token."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30, cookies={"access_token": token}) as client:
        yield client


async def is_refused(server: LoginServer, token: str) -> bool:
    async with with_token(server, token) as thief:
        if await who(thief) is not None or (await thief.get("/api/me")).status_code != 401:
            return False
        by_header = {"Authorization": f"Bearer {token}"}
        thief.cookies.clear()
        codes = [(await thief.get("/user", headers=by_header)).status_code]
        codes.append((await thief.post("/auth/jwt", headers=by_header)).status_code)
        thief.cookies.set("access_token", token)
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with page_socket(thief, session_id=str(uuid.uuid4())):
                pass
        return codes == [401, 401]


@asynccontextmanager
async def open_page(browser: httpx.AsyncClient) -> AsyncIterator[asyncio.Queue[str]]:
    """Tells when the page is told to load again, and when its socket ends."""
    told = asyncio.Queue[str]()
    async with page_socket(browser, session_id=str(uuid.uuid4())) as client:
        client.on("reload", lambda *_: told.put_nowait("reload"))
        client.on("disconnect", lambda *_: told.put_nowait("disconnect"))
        await client.emit("connection_successful")
        yield told


async def test_logging_out_ends_the_token_and_its_pages_and_no_other_login(server: LoginServer) -> None:
    async with server.browser("alice") as alice, server.browser("alice") as elsewhere:
        token = alice.cookies["access_token"]
        async with open_page(alice) as page, open_page(elsewhere) as other_page:
            assert (await alice.post("/logout")).json() == {"success": True}
            assert "access_token" not in alice.cookies
            async with asyncio.timeout(30):
                assert [await page.get(), await page.get()] == ["reload", "disconnect"]
            assert await is_refused(server, token)
            assert await who(elsewhere) == "alice"
            assert other_page.empty()


async def test_an_ended_login_stays_ended_over_a_restart_and_in_other_processes(server: LoginServer) -> None:
    folder = server.data_dir.parent / "beside"
    folder.mkdir()
    beside = LoginServer(folder, {"LONGHAUL_DATA_DIR": str(server.data_dir), "LONGHAUL_EMBEDDED_WORKERS": "0"})
    beside.expected_noise = ("Authentication failed in websocket connect",)
    beside.users.write_text(server.users.read_text())  # the same hashes, as every process reads the same file
    try:
        await beside.start()
        async with server.browser("alice") as alice:
            token = alice.cookies["access_token"]
            async with with_token(beside, token) as there:
                assert await who(there) == "alice"
                async with open_page(there) as page:
                    await alice.post("/logout")
                    async with asyncio.timeout(30):
                        assert await page.get() == "reload"
            assert await is_refused(beside, token)
    finally:
        beside.stop()
    server.kill_web()
    await server.start()
    assert await is_refused(server, token)


async def test_no_token_is_made_of_another(server: LoginServer) -> None:
    async with server.browser("bob") as bob:
        token = bob.cookies["access_token"]
        shown = await bob.post("/auth/jwt", headers={"Authorization": f"Bearer {token}"})
        assert shown.status_code == 200
        assert bob.cookies["access_token"] == token
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 15 * 86_400


async def test_the_pages_of_a_removed_user_close(server: LoginServer) -> None:
    async with (
        server.browser("alice") as alice,
        server.browser("bob") as bob,
        open_page(alice) as page,
        open_page(bob) as other_page,
    ):
        try:
            server.write_users({"bob": PEOPLE["bob"]})
            async with asyncio.timeout(30):
                assert [await page.get(), await page.get()] == ["reload", "disconnect"]
            assert await is_refused(server, alice.cookies["access_token"])
            assert other_page.empty()
        finally:
            server.write_users(PEOPLE)


async def test_the_streams_of_an_ended_login_end(server: LoginServer) -> None:
    async with server.browser("bob") as bob, bob.stream("GET", "/api/events") as stream:
        assert stream.status_code == 200
        await bob.post("/logout")
        async with asyncio.timeout(30):
            async for _ in stream.aiter_bytes():
                continue


async def test_by_https_cookies_and_calls_keep_to_https(server: LoginServer) -> None:
    form = {"username": "bob", "password": PEOPLE["bob"]}
    async with httpx.AsyncClient(base_url=server.url) as client:
        by_https = await client.post("/login", data=form, headers={"X-Forwarded-Proto": "https"})
        plain = await client.post("/login", data=form)
        api = await client.get("/healthz", headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in by_https.headers["set-cookie"]
    assert "Secure" not in plain.headers["set-cookie"]
    assert [answer.headers.get("strict-transport-security") for answer in (by_https, api, plain)] == [
        "max-age=31536000",
        "max-age=31536000",
        None,
    ]


async def test_stop_in_the_page_is_audited_with_its_address(server: LoginServer) -> None:
    log = server.data_dir / "audit.jsonl"

    def last() -> dict[str, str | None]:
        written: dict[str, str | None] = json.loads(log.read_text().splitlines()[-1])
        return written

    async with server.browser("bob") as bob, page_socket(bob, session_id=str(uuid.uuid4())) as page:
        await page.emit("connection_successful")
        message = {"id": str(uuid.uuid4()), "name": "bob", "type": "user_message", "createdAt": "2026-01-01T00:00:00Z"}
        said = {**message, "threadId": "", "output": "tokens=1 delay=60"}
        await page.emit("client_message", {"message": said, "fileReferences": []})

        async def running() -> str | None:
            jobs = (await bob.get("/api/jobs")).json()["data"]
            return next((job["id"] for job in jobs if job["status"] == "in_progress"), None)

        job_id = await until(running, within=20, what="the turn runs")

        async def stopped() -> bool:
            await page.emit("stop")
            return last()["what"] == "job cancelled"

        await until(stopped, within=30, what="Stop is in the audit log")
    assert {**last(), "at": ""} == {"at": "", "who": "bob", "what": "job cancelled", "from": "127.0.0.1", "job": job_id}


async def test_a_database_that_fails_keeps_nobody_from_logging_out(server: LoginServer) -> None:
    chat = server.data_dir / "chat.db"
    async with server.browser("bob") as bob:
        token = bob.cookies["access_token"]
        with sqlite3.connect(chat) as database:
            database.execute("ALTER TABLE ended_logins RENAME TO away")
        try:
            server.expected_noise += ("ended logins cannot be shared",)
            assert (await bob.post("/logout")).status_code == 200
            assert await is_refused(server, token)
        finally:
            with sqlite3.connect(chat) as database:
                database.execute("ALTER TABLE away RENAME TO ended_logins")
                before = database.execute("SELECT max(id) FROM ended_logins").fetchone()

    def saved() -> bool:
        with sqlite3.connect(chat) as database:
            return bool(database.execute("SELECT max(id) FROM ended_logins").fetchone() != before)

    await until(saved, within=30, what="the end is stored")
