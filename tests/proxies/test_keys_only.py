"""The recommended nginx before a server with keys and a public name, where nobody can log in: an API, and no page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.proxies.nginx import Nginx, default, recommended
from tests.proxies.test_doctor import examined, faults
from tests.server import Server

KEY = "the-secret-key-of-ada"
WITH_KEY = {"Authorization": f"Bearer {KEY}"}
HERE = {"Host": "127.0.0.1"}
PUBLIC = {"Host": "longhaul.example"}
PAGES = ["/", "/jobs", "/thread/some-thread", "/login", "/user", "/auth/config", "/public/longhaul.js", "//api/jobs"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """`0.0.0.0` is a public name that leads here."""
    environment = {
        "LONGHAUL_API_KEYS": f"ada:{KEY}",
        "LONGHAUL_ALLOWED_HOSTS": "127.0.0.1,0.0.0.0,longhaul.example",
        "LONGHAUL_EMBEDDED_WORKERS": "1",
        "LONGHAUL_SSE_PING_SECONDS": "0.3",
    }
    server = Server(tmp_path_factory.mktemp("keyed"), environment, production=True)
    await server.start()
    yield server
    server.stop()
    server.check_log()


@pytest.mark.parametrize("host", [PUBLIC, HERE], ids=["by its public name", "by a local one"])
async def test_there_is_an_api_and_no_page(server: Server, tmp_path: Path, host: dict[str, str]) -> None:
    async with (
        Nginx(tmp_path / "nginx", recommended(), server.port) as nginx,
        httpx.AsyncClient(base_url=nginx.url, headers=host) as client,
    ):
        for path in PAGES:
            page = await client.get(path)
            assert page.status_code == 403, (path, page.status_code, page.text[:300])
            assert page.json()["error"]["code"] == "login_needed", path
            assert "set-cookie" not in page.headers
        assert (await client.post("/auth/header")).status_code == 403
        assert (await client.post("/login", data={"username": "local", "password": ""})).status_code == 403
        assert (await client.post("/project/threads", json={})).status_code == 403
        assert (await client.get("/api/jobs")).status_code == 401
        assert (await client.get("/api/jobs", headers=WITH_KEY)).status_code == 200
        assert (await client.get("/healthz")).status_code == 200


async def test_a_browser_is_told_in_a_page_and_a_socket_is_refused(server: Server, tmp_path: Path) -> None:
    async with Nginx(tmp_path / "nginx", recommended(), server.port) as nginx:
        async with httpx.AsyncClient(base_url=nginx.url, headers=PUBLIC) as client:
            page = await client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
            polling = await client.get("/ws/socket.io/?EIO=4&transport=polling")
        assert (page.status_code, page.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert "until a login is set up with LONGHAUL_USERS_FILE or OAUTH_" in page.text
        assert polling.status_code == 403
        for url in (nginx.url, server.url):
            with pytest.raises(InvalidStatus, match="403"):
                await connect(f"{url}/ws/socket.io/?EIO=4&transport=websocket".replace("http", "ws", 1), proxy=None)


async def test_nor_is_there_one_for_a_program_on_this_machine(server: Server) -> None:
    assert (await server.get("/")).status_code == 403


async def test_the_doctor_says_so_and_finds_all_else_well(server: Server, tmp_path: Path) -> None:
    async with Nginx(tmp_path / "nginx", recommended(), server.port) as nginx:
        done = await examined(nginx.url, "--key", KEY)
    assert (done.returncode, done.stderr, faults(done)) == (0, "", {}), done.stdout
    assert "warn  page: This server serves its HTTP API only" in done.stdout
    assert "ok    strangers" in done.stdout


async def test_the_doctor_finds_a_server_that_serves_strangers(proxied_server: Server, tmp_path: Path) -> None:
    """`proxied_server` does, with LONGHAUL_ALLOW_ANONYMOUS; a plain `proxy_pass` calls it by a local name."""
    async with Nginx(tmp_path / "nginx", default(), proxied_server.port) as nginx:
        done = await examined(nginx.url.replace("127.0.0.1", "0.0.0.0"), "--idle", "0.1")
    assert done.returncode == 1
    assert "set up a login" in faults(done)["strangers"], done.stdout
