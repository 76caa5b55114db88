"""Who may call: a login's cookie from our own pages, keys beside it, and nobody too often."""

import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from argon2 import PasswordHasher

from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.server import Server
from tests.waiting import until

KEYS = {name: f"the-secret-key-of-{name}" for name in ("robot", "pest", "boss")}
PASSWORD = "a long enough password"
FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(api_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Under the production entry: a login, a key, and twenty calls at once at most."""
    folder: Path = tmp_path_factory.mktemp("access")
    users = folder / "users.txt"
    users.write_text(f"ada:{PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)}\n")
    environment = model_environment(api_endpoint) | {
        "LONGHAUL_USERS_FILE": str(users),
        "LONGHAUL_API_KEYS": ",".join(f"{name}:{key}" for name, key in KEYS.items()),
        "LONGHAUL_ADMINS": "boss, nobody",
        "LONGHAUL_API_REQUESTS_PER_MINUTE": "60",
        "LONGHAUL_EMBEDDED_WORKERS": "1",
    }
    served = folder / "server"
    served.mkdir()
    server = Server(served, environment, production=True)
    await server.start()
    yield server
    server.stop()
    server.check_log()


@contextlib.asynccontextmanager
async def logged_in(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as browser:
        answer = await browser.post("/login", data={"username": "ada", "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        yield browser


async def test_pages_of_our_own_call_with_the_logins_cookie(server: Server) -> None:
    async with logged_in(server) as browser:
        body = {"task": "chat", "input": "tokens=1"}
        job = (await browser.post("/api/jobs", json=body, headers=FROM_OUR_PAGE)).json()
        assert job["user"] == "ada"
        by_origin = await browser.post("/api/jobs", json=body, headers={"Origin": server.url})
        assert by_origin.status_code == 202
        assert (await browser.get(f"/api/jobs/{job['id']}")).json()["id"] == job["id"]


@pytest.mark.parametrize("site", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {}])
async def test_a_cookie_alone_changes_nothing(server: Server, site: dict[str, str]) -> None:
    async with logged_in(server) as browser:
        answer = await browser.post("/api/jobs", json={"task": "chat", "input": "tokens=1"}, headers=site)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")


async def test_a_key_is_its_own_user_beside_the_login(server: Server) -> None:
    async with logged_in(server) as browser:
        mine = (await browser.post("/api/jobs", json={"task": "chat", "input": "a"}, headers=FROM_OUR_PAGE)).json()
    async with httpx.AsyncClient(
        base_url=server.url, headers={"Authorization": "Bearer the-secret-key-of-robot"}
    ) as robot:
        assert (await robot.get(f"/api/jobs/{mine['id']}")).status_code == 404
        assert (await robot.post("/api/jobs", json={"task": "chat", "input": "a"})).json()["user"] == "robot"


async def test_who_has_neither_is_a_stranger(server: Server) -> None:
    assert (await server.get("/api/jobs")).status_code == 401
    page = await server.get("/")
    assert "set-cookie" not in page.headers, "nobody is logged in automatically where there is a login"


async def test_who_calls_too_often_is_asked_to_wait_and_nobody_else(server: Server) -> None:
    async with httpx.AsyncClient(
        base_url=server.url, headers={"Authorization": "Bearer the-secret-key-of-pest"}
    ) as pest:
        answers = [await pest.get("/api/jobs") for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].json()["error"]["code"] == "rate_limited"
    async with httpx.AsyncClient(
        base_url=server.url, headers={"Authorization": "Bearer the-secret-key-of-robot"}
    ) as robot:
        assert (await robot.get("/api/jobs")).status_code == 200


async def test_wrong_keys_are_held_up_by_address_and_right_ones_are_not(server: Server) -> None:
    wrong, right = ({"Authorization": f"Bearer {key}"} for key in ("a-key-of-nobody-at-all", "the-secret-key-of-robot"))
    here = httpx.AsyncHTTPTransport(local_address="127.0.0.3")
    async with httpx.AsyncClient(base_url=server.url, transport=here) as client:
        answers = [await client.get("/api/jobs", headers=wrong) for _ in range(40)]
        assert [answer.status_code for answer in answers[:20]] == [401] * 20
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
        assert refused[0].json()["error"]["code"] == "rate_limited"
        openai = [await client.get("/v1/models", headers=wrong) for _ in range(3)]
        assert {"type": "rate_limit_error", "code": "rate_limited"}.items() <= openai[-1].json()["error"].items()
        assert (await client.get("/api/jobs", headers=right)).status_code == 200
        assert (await client.get("/api/jobs")).status_code == 401, "no key is not a wrong one"
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.4")
    async with httpx.AsyncClient(base_url=server.url, transport=elsewhere) as client:
        assert (await client.get("/api/jobs", headers=wrong)).status_code == 401


async def test_wrong_keys_behind_a_proxy_are_counted_for_whom_it_forwards(server: Server) -> None:
    wrong = {"Authorization": "Bearer a-key-of-nobody-at-all"}

    async def status(client: httpx.AsyncClient, address: str) -> int:
        return (await client.get("/api/jobs", headers=wrong | {"X-Forwarded-For": address})).status_code

    async with httpx.AsyncClient(base_url=server.url) as client:
        codes = [await status(client, f"2001:db8::{number:x}") for number in range(1, 41)]
        assert 429 in codes
        assert await status(client, "2001:db8:0:1::1") == 401


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"), ("/thread/some-thread", "text/html"), ("/api/docs", "text/html"),
        ("/api/openapi.json", "application/json"), ("/healthz", "application/json"), ("/readyz", "application/json"),
        ("/metrics", "text/plain"), ("/deep-chat", "text/html"), ("/public/longhaul.js", "application/javascript"),
    ],
)  # fmt: skip
async def test_the_production_entry_serves_page_and_api(server: Server, path: str, kind: str) -> None:
    answer = await server.get(path)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)


def client_of(server: Server, name: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {KEYS[name]}"}, timeout=20)


async def test_administrators_see_stop_and_delete_the_jobs_of_others(server: Server) -> None:
    async with client_of(server, "robot") as robot, client_of(server, "boss") as boss:
        job = (await robot.post("/api/jobs", json={"task": "chat", "input": "tokens=1 delay=60"})).json()
        own = f"/api/jobs/{job['id']}"
        for whose in ("*", "robot"):
            assert job["id"] in [one["id"] for one in (await boss.get(f"/api/jobs?user={whose}")).json()["data"]]
        assert (await boss.get("/api/jobs")).json()["data"] == []
        assert (await boss.get("/api/me")).json() == {"name": "boss", "admin": True}
        async with boss.stream("GET", "/api/events?user=*") as feed:
            assert job["id"] in await anext(feed.aiter_text())
        assert (await boss.post(f"{own}/cancel")).status_code == 202
        async with boss.stream("GET", f"{own}/events") as log:
            assert '"by":"boss"' in "".join([text async for text in log.aiter_text()])
        assert (await boss.post(f"{own}/retry")).status_code == 404
        assert (await boss.delete(own)).status_code == 204
        assert (await robot.get(own)).status_code == 404


async def test_others_are_no_administrators(server: Server) -> None:
    async with client_of(server, "robot") as robot, client_of(server, "boss") as boss:
        job = (await boss.post("/api/jobs", json={"task": "chat", "input": "tokens=1"})).json()
        for path in ("/api/jobs?user=boss", "/api/jobs?user=*", "/api/events?user=*", f"/api/jobs/{job['id']}"):
            assert (await robot.get(path)).status_code == 404
        assert (await robot.post(f"/api/jobs/{job['id']}/cancel")).status_code == 404
        assert (await robot.delete(f"/api/jobs/{job['id']}")).status_code == 404
        assert (await robot.get("/api/jobs?user=robot")).status_code == 200
        assert (await robot.get("/api/me")).json() == {"name": "robot", "admin": False}


async def test_the_audit_log_says_who_did_what_from_where_and_holds_no_content(server: Server, tmp_path: Path) -> None:
    file = server.data_dir / "audit.jsonl"
    begin = len(file.read_text().splitlines()) if file.exists() else 0
    secret, note = "a password in the wrong field", {"file": str(tmp_path / "note"), "text": "what they wrote"}
    async with logged_in(server) as browser:
        await browser.post("/login", data={"username": "ada", "password": "wrong"})
        await browser.post("/login", data={"username": secret, "password": "wrong"})
        thread = {"threadId": str(uuid.uuid4())}
        turn = {"task": "chat", "input": "tokens=1", "thread_id": thread["threadId"]}
        await browser.post("/api/jobs", json=turn, headers=FROM_OUR_PAGE)
        assert (await browser.request("DELETE", "/project/thread", json=thread)).status_code == 200
        await browser.post("/logout")
    here = httpx.AsyncHTTPTransport(local_address="127.0.0.7")
    async with httpx.AsyncClient(base_url=server.url, transport=here) as stranger:
        await stranger.get("/api/me", headers={"Authorization": "Bearer a-key-of-nobody-at-all"})
    async with client_of(server, "robot") as robot, client_of(server, "boss") as boss:
        job = (await robot.post("/api/jobs", json={"task": "note", "arguments": note})).json()
        async with boss.stream("GET", f"/api/jobs/{job['id']}/events") as log:
            await log.aread()
        assert (await robot.post(f"/api/jobs/{job['id']}/cancel")).status_code == 202
        assert (await boss.delete(f"/api/jobs/{job['id']}")).status_code == 204
    job_id, thread_id = job["id"], thread["threadId"]
    boss_of = {"who": "boss", "from": "127.0.0.1", "job": job_id, "owner": "robot"}
    looked = boss_of | {"what": "administrator's call"}
    expected: list[dict[str, str | None]] = [
        {"who": "ada", "what": "logged in", "from": "127.0.0.1"},
        {"who": "ada", "what": "login refused", "from": "127.0.0.1"},
        {"who": None, "what": "login refused", "from": "127.0.0.1"},
        {"who": "ada", "what": "thread deleted", "from": "127.0.0.1", "thread": thread_id, "owner": "ada"},
        {"who": "ada", "what": "logged out", "from": "127.0.0.1"},
        {"who": None, "what": "key refused", "from": "127.0.0.7"},
        {"who": "robot", "what": "tool called", "from": None, "tool": "note", "job": job_id, "step": "call:0"},
        looked | {"method": "GET"},
        {"who": "robot", "what": "job cancelled", "from": "127.0.0.1", "job": job_id},
        looked | {"method": "DELETE"},
        boss_of | {"what": "job deleted"},
    ]  # fmt: skip

    def written() -> list[dict[str, str | None]]:
        records = [json.loads(line) for line in file.read_text().splitlines()[begin:]]
        return [{name: value for name, value in one.items() if name != "at"} for one in records]

    def in_order(one: dict[str, str | None]) -> str:
        return json.dumps(one, sort_keys=True)

    await until(lambda: len(written()) >= len(expected), within=30, what="all is written")
    assert sorted(written(), key=in_order) == sorted(expected, key=in_order)
    assert not [word for word in (secret, note["text"], note["file"], "a-key-of-nobody") if word in file.read_text()]
