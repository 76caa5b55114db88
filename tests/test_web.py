"""The real server over plain HTTP: health, guards, login, files, and its end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.conftest import StartServer
from tests.proxies.nginx import Nginx, recommended
from tests.server import Server
from tests.waiting import until


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("web"),
        {
            "LONGHAUL_MAX_UPLOAD_MB": "1",
            "LONGHAUL_MIN_FREE_MB": "0",
            "LONGHAUL_FRAME_ANCESTORS": "self https://intranet.example",
        },
    )
    yield server
    server.stop()
    server.check_log()


@pytest.fixture
async def server(kept: Server) -> Server:
    if not kept.log():
        await kept.start()
    return kept


@pytest.fixture
async def browser(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """Has opened the page, and so has its cookie."""
    async with httpx.AsyncClient(base_url=server.url) as client:
        (await client.get("/")).raise_for_status()
        yield client


async def test_it_is_alive_and_ready_and_says_what_model_answers(server: Server) -> None:
    async def idle() -> httpx.Response | None:  # a write may take long on a loaded machine
        answer = await server.get("/readyz")
        return answer if answer.json().get("store") == "ok" else None

    alive, ready = await server.get("/healthz"), await until(idle, within=30, what="the store is idle")
    assert ready is not None
    assert (alive.status_code, alive.headers["content-type"]) == (200, "application/json")
    assert ready.status_code == 200
    queue = {"jobs": 0, "seconds": 0}
    assert ready.json() == {
        "store": "ok",
        "workers": 1,
        "machines": 1,
        "queue": queue,
        "disk": "ok",
        "model": "offline",
    }


async def test_a_model_endpoint_that_does_not_answer_is_told_and_does_not_make_it_unready(
    start_server: StartServer,
) -> None:
    server = await start_server(OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    ready = await server.get("/readyz")
    assert (ready.status_code, ready.json()["model"]) == (200, "unreachable")


async def test_a_foreign_host_and_a_foreign_page_are_refused(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        misdirected = await client.get("/", headers={"Host": "evil.example"})
        assert misdirected.status_code == 421
        assert "add it to LONGHAUL_ALLOWED_HOSTS" in misdirected.json()["error"]["message"]
        refused = await client.get("/healthz", headers={"Origin": "https://evil.example"})
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "foreign_origin"
        socket = "/ws/socket.io/?EIO=4&transport=polling"
        assert (await client.get(socket, headers={"Origin": "https://evil.example"})).status_code == 403


async def test_any_first_page_logs_in_and_keeps_its_address(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        page = await client.get("/thread/some-thread")
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        cookie = page.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert (await client.get("/user")).json()["identifier"] == "local"
        assert "set-cookie" not in (await client.get("/")).headers


PAGES = ["/", "/thread/some-thread", "/login", "/public/longhaul.js", "/auth/config", "/project/translations"]
SOCKET = "/ws/socket.io/?EIO=4&transport=polling"


async def test_whom_the_recommended_nginx_forwards_is_not_the_local_user(server: Server, tmp_path: Path) -> None:
    async with (
        Nginx(tmp_path / "nginx", recommended(), server.port) as nginx,
        httpx.AsyncClient(base_url=nginx.url) as stranger,
        httpx.AsyncClient(base_url=server.url) as here,
    ):
        cookie = (await here.get("/")).headers["set-cookie"].partition(";")[0]
        for headers in ({}, {"Cookie": cookie}):
            answers = [await stranger.get(path, headers=headers) for path in [*PAGES, SOCKET, "/user"]]
            answers.append(await stranger.post("/auth/header", headers=headers))
            assert {answer.status_code for answer in answers} == {403}, [answer.url for answer in answers]
            assert not any("set-cookie" in answer.headers for answer in answers)
            assert (await stranger.get("/api/jobs", headers=headers)).status_code == 401
        page = await stranger.get("/", headers={"Accept": "text/html,*/*"})
        assert page.headers["content-type"].startswith("text/html")
        assert "until a login is set up" in page.text
        assert (await here.get("/api/jobs")).status_code == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "Via"])
async def test_a_header_of_any_proxy_makes_its_caller_a_stranger(server: Server, header: str) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={header: "127.0.0.1"}) as forwarded:
        assert (await forwarded.get("/")).json()["error"]["code"] == "login_needed"
        assert (await forwarded.get("/api/jobs")).status_code == 401
        with pytest.raises(InvalidStatus, match="403"):
            await connect(
                server.url.replace("http", "ws") + "/ws/socket.io/?EIO=4&transport=websocket",
                additional_headers={header: "127.0.0.1"},
                proxy=None,
            )


async def test_without_a_cookie_nothing_is_told(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        page = {"pagination": {"first": 10}, "filter": {}}
        assert (await client.post("/project/threads", json=page)).status_code == 401
        assert (await client.get("/project/thread/some-thread")).status_code == 401
        assert (await client.get("/project/file/file_000000000000000000000000")).status_code == 401


@pytest.mark.parametrize(
    "file_id", ["file_000000000000000000000000", "..%2f..%2fauth_secret", "%00", "x" * 5000, "file_%ed%a0%80"]
)
async def test_a_file_that_is_not_there_is_not_found(browser: httpx.AsyncClient, file_id: str) -> None:
    assert (await browser.get(f"/project/file/{file_id}")).status_code in {400, 404}


async def test_an_upload_needs_a_session_of_its_own(browser: httpx.AsyncClient) -> None:
    upload = {"file": ("a.txt", b"x", "text/plain")}
    assert (await browser.post("/project/file?session_id=nobody", files=upload)).status_code == 404


async def test_the_page_is_ours(server: Server) -> None:
    page = (await server.get("/")).text
    assert "<title>Longhaul</title>" in page
    assert not re.search(r"github\.com/Chainlit", page)


@pytest.mark.parametrize("path", ["/", "/thread/some-thread", "/login", "/deep-chat", "/api/docs"])
async def test_every_page_may_load_only_what_comes_from_this_server(server: Server, path: str) -> None:
    page = await server.get(path)
    assert page.headers["content-type"].startswith("text/html")
    sources = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    scripts = sources.pop("script-src").split()
    assert sources == {
        "default-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'self' https://intranet.example",
    }
    inline = [source for source in scripts if source.startswith("'sha256-")]
    assert len(inline) == len(re.findall("<script>", page.text))
    assert {*scripts} - {*inline} <= {"'self'", "'unsafe-eval'"}
    assert ("'unsafe-eval'" in scripts) == (path not in {"/deep-chat", "/api/docs"})
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["x-dns-prefetch-control"] == "off"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"(href|src)=\"?https?:", page.text)


async def test_what_is_no_page_is_taken_for_what_it_is_declared(server: Server) -> None:
    for path in ("/public/longhaul.js", "/public/elements/ToolForm.jsx", "/auth/config", "/favicon"):
        answer = await server.get(path)
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")


async def test_the_offline_model_crawls_what_a_message_names(browser: httpx.AsyncClient) -> None:
    asked = {"task": "chat", "input": "Please crawl https://nowhere.invalid/docs."}
    job = (await browser.post("/api/jobs", json=asked)).json()["id"]

    async def answer() -> str:
        ended = (await browser.get(f"/api/jobs/{job}")).json()
        return str(ended["result"]) if ended["status"] == "completed" else ""

    assert "the name of its server is not known" in await until(answer, within=30, what="an answer")


async def test_the_secrets_are_readable_by_their_owner_alone(server: Server) -> None:
    secret: Path = server.data_dir / "auth_secret"
    assert secret.stat().st_mode & 0o077 == 0
    assert secret.read_text() not in server.log()


async def test_sigterm_ends_it_with_code_0_and_takes_its_worker_along(start_server: StartServer) -> None:
    server = await start_server(offline=True)
    assert server.workers()
    server.terminate_web()
    assert await asyncio.to_thread(server.ended) == 0
    assert not server.workers()
    assert not server.hosts()


async def test_a_worker_whose_parent_was_killed_ends_when_it_has_nothing_to_do(start_server: StartServer) -> None:
    server = await start_server(offline=True)
    server.kill_web()
    await until(lambda: not server.workers(), within=30, what="the orphan ends")
    assert not server.hosts()


@pytest.mark.parametrize("announced", [True, False], ids=["with its size", "in chunks"])
async def test_a_body_above_the_limit_is_refused_before_it_is_kept(browser: httpx.AsyncClient, announced: bool) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x" * 1_000_000

    content = b"x" * 8_000_000 if announced else endless()
    try:
        answer = await browser.put("/project/thread", content=content)
    except httpx.TransportError:
        return  # the server closed the connection in the middle of it
    assert 400 <= answer.status_code < 500
    if announced:
        assert answer.status_code == 413


async def test_an_upload_above_the_limit_is_refused(browser: httpx.AsyncClient) -> None:
    upload = {"file": ("a.txt", b"x" * 3_000_000, "text/plain")}
    assert (await browser.post("/project/file?session_id=x", files=upload)).status_code == 413
