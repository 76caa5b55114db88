"""People who log in, on the real server: how they come in, and that nobody gets at what is another's."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import socketio
from argon2 import PasswordHasher

from files import DirectoryFileStore
from jobs import JobRequest, JobStatus
from tests.conftest import model_environment
from tests.endpoint import Endpoint
from tests.identity import IdentityProvider
from tests.open_page import page_socket
from tests.server import Server
from tests.waiting import until

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SECRET = "a secret tokens=1"
PEOPLE = {"alice": "wonderland", "bob": "the builder", "mallory": "unguessed"}


@cache
def hashed(password: str) -> str:
    return QUICK.hash(password)


class LoginServer(Server):
    """A server with a users file and an OAuth provider."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.users = folder / "users"
        self.write_users(PEOPLE)
        super().__init__(folder, {"LONGHAUL_USERS_FILE": str(self.users), **environment})

    def write_users(self, people: dict[str, str]) -> None:
        self.users.write_text("".join(f"{name}:{hashed(password)}\n" for name, password in people.items()))

    @asynccontextmanager
    async def browser(self, name: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Where `name` has logged in."""
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            if name is not None:
                answer = await log_in(client, name, PEOPLE[name])
                assert (answer.status_code, answer.json()) == (200, {"success": True})
            yield client


async def log_in(client: httpx.AsyncClient, name: str, password: str) -> httpx.Response:
    return await client.post("/login", data={"username": name, "password": password})


async def who(client: httpx.AsyncClient) -> str | None:
    """The user that Chainlit takes the browser for."""
    answer = await client.get("/user")
    assert answer.status_code in {200, 401}
    return str(answer.json()["identifier"]) if answer.status_code == 200 else None


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoginServer]:
    with IdentityProvider() as provider, Endpoint() as endpoint:
        environment = provider.environment | model_environment(endpoint)
        server = LoginServer(tmp_path_factory.mktemp("login"), environment)
        yield server
        server.stop()
        server.check_log()


@pytest.fixture
async def server(kept: LoginServer) -> LoginServer:
    if not kept.log():
        await kept.start()
    return kept


# --- coming in -----------------------------------------------------------------------------------------------------


async def test_nobody_comes_in_by_opening_a_page(server: LoginServer) -> None:
    async with server.browser() as browser:
        page = await browser.get("/thread/some-thread")
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
        assert (await browser.post("/auth/header")).status_code == 400
        assert await who(browser) is None
        offered = (await browser.get("/auth/config")).json()
        assert (offered["requireLogin"], offered["passwordAuth"], offered["headerAuth"]) == (True, True, False)
        assert offered["oauthProviders"] == ["generic"]


async def test_a_password_lets_its_user_in_and_no_other(server: LoginServer) -> None:
    async with server.browser("alice") as browser:
        assert await who(browser) == "alice"
    async with server.browser() as browser:
        for name, password in [("alice", "the builder"), ("local", "wonderland"), ("eve", ""), ("eve", "\0")]:
            assert (await log_in(browser, name, password)).status_code == 401
        assert (await browser.post("/login", data={"username": "alice"})).status_code == 422
        assert (await browser.post("/login", content=b"\xff\xfe")).status_code == 422
        assert await who(browser) is None
    assert "wonderland" not in server.log()


async def test_passwords_cannot_be_tried_one_after_the_other(server: LoginServer) -> None:
    async with server.browser() as browser:
        answers = [await log_in(browser, "mallory", f"guess {number}") for number in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 6
    async with server.browser("bob") as other:
        assert await who(other) == "bob"


async def test_one_name_that_is_tried_on_and_on_keeps_nobody_else_at_that_address_out(server: LoginServer) -> None:
    address = {"X-Forwarded-For": "192.0.2.7"}
    async with server.browser() as browser:
        guess = {"username": "mallory", "password": "guess"}
        codes = [(await browser.post("/login", data=guess, headers=address)).status_code for _ in range(80)]
        assert codes[-1] == 429
        right = {"username": "bob", "password": PEOPLE["bob"]}
        assert (await browser.post("/login", data=right, headers=address)).status_code == 200


async def test_right_passwords_are_not_counted(server: LoginServer) -> None:
    right = {"username": "bob", "password": PEOPLE["bob"]}
    async with server.browser() as browser:
        codes = [
            (await browser.post("/login", data=right, headers={"X-Forwarded-For": "192.0.2.8"})).status_code
            for _ in range(70)
        ]
    assert set(codes) == {200}


async def test_neighbours_of_one_ipv6_network_are_counted_together(server: LoginServer) -> None:
    guess = {"username": "mallory", "password": "guess"}
    async with server.browser() as browser:
        codes = [
            (await browser.post("/login", data=guess, headers={"X-Forwarded-For": address})).status_code
            for address in [*(f"2001:db8::{number:x}" for number in range(1, 12)), "2001:db8:0:1::1"]
        ]
    assert codes == [401] * 10 + [429, 401]


async def test_whoever_is_removed_or_gets_a_new_password_is_out_at_once(server: LoginServer) -> None:
    async with server.browser("alice") as alice, server.browser("bob") as bob:
        try:
            server.write_users({"bob": "a new password"})
            assert [await who(alice), await who(bob)] == [None, None]
            assert (await alice.get("/project/file/file_1")).status_code == 401
            token = {"Authorization": f"Bearer {alice.cookies['access_token']}"}
            alice.cookies.clear()
            assert (await alice.get("/user", headers=token)).status_code == 401
            assert (await alice.post("/auth/jwt", headers=token)).status_code == 401
        finally:
            server.write_users(PEOPLE)
        assert await who(bob) == "bob"


async def test_a_cookie_from_before_there_was_a_login_is_worth_nothing(server: LoginServer) -> None:
    secret = (server.data_dir / "auth_secret").read_text()
    token = {"metadata": {}, "exp": time.time() + 60}
    async with server.browser() as browser:
        for name in ("local", "alice", "google:alice"):
            cookie = {"Cookie": f"access_token={jwt.encode({'identifier': name, **token}, secret)}"}
            assert (await browser.get("/user", headers=cookie)).status_code == 401


async def oauth_log_in(browser: httpx.AsyncClient, code: str) -> httpx.Response:
    """As the browser does it; the provider's own page is skipped."""
    sent = await browser.get("/auth/oauth/generic")
    query = parse_qs(urlsplit(sent.headers["location"]).query)
    assert query["redirect_uri"] == [f"{browser.base_url}/auth/oauth/generic/callback"]
    parameters = {"code": code, "state": query["state"][0]}
    return await browser.get("/auth/oauth/generic/callback", params=parameters)


async def test_a_providers_user_is_never_one_of_the_users_file(server: LoginServer) -> None:
    async with server.browser() as browser:
        # A cookie that is worth nothing must not keep its owner from logging in.
        browser.cookies.set("access_token", "old", domain="127.0.0.1")
        assert (await oauth_log_in(browser, "alice")).headers["location"].startswith("/login/callback")
        assert await who(browser) == "generic:no-alice"


@pytest.mark.parametrize("code", ["nobody", "alice:unconfirmed"])
async def test_a_provider_that_does_not_say_who_it_is_lets_nobody_in(server: LoginServer, code: str) -> None:
    async with server.browser() as browser:
        answer = await oauth_log_in(browser, code)
        assert answer.headers["location"].endswith("/login?error=oauthSignin")
        assert await who(browser) is None


# --- what is whose -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Things:
    """What alice has: a thread with an answered question, a file, something a job made."""

    thread_id: str
    job_id: str
    file_id: str

    @property
    def thread(self) -> str:
        return f"/project/thread/{self.thread_id}"

    @property
    def file(self) -> str:
        return f"/project/file/{self.file_id}"

    @property
    def artifact(self) -> str:
        return f"/project/artifact/{self.job_id}/made.csv"


@pytest.fixture
async def things(server: LoginServer) -> Things:
    thread_id = str(uuid.uuid4())
    async with server.jobs() as jobs:
        job = await jobs.submit(JobRequest(task="chat", user="alice", input=SECRET, thread_id=thread_id))

        async def ended() -> bool:
            return (await jobs.get(job.id, "alice")).status is JobStatus.COMPLETED

        await until(ended, within=20, what="the answer is complete")
    files = DirectoryFileStore(server.data_dir / "files")
    await files.save_artifact(job.id, name="made.csv", mime="text/csv", source=b"a\n1\n")
    source = server.data_dir / "note.txt"
    source.write_text("a note")
    file = await files.save(name="note.txt", mime="text/plain", owner="alice", source=source, limit_bytes=100)
    return Things(thread_id=thread_id, job_id=job.id, file_id=file.id)


async def test_everybody_sees_what_is_theirs_and_nothing_of_others(server: LoginServer, things: Things) -> None:
    async with server.browser("alice") as alice, server.browser("bob") as bob, server.browser() as stranger:
        for path in (things.thread, things.file, things.artifact):
            codes = [(await browser.get(path)).status_code for browser in (alice, bob, stranger)]
            assert codes == [200, 404, 401], path
        page = {"pagination": {"first": 20}, "filter": {}}
        listed = [(await browser.post("/project/threads", json=page)).json()["data"] for browser in (alice, bob)]
        assert things.thread_id in [thread["id"] for thread in listed[0]]
        assert listed[1] == []


async def test_nobody_changes_what_is_anothers(server: LoginServer, things: Things) -> None:
    async with server.browser("alice") as alice, server.browser("bob") as bob:
        rename = {"threadId": things.thread_id, "name": "mine now"}
        assert (await bob.put("/project/thread", json=rename)).status_code == 404
        assert (await bob.request("DELETE", "/project/thread", json={"threadId": things.thread_id})).status_code == 404
        given = {"forId": f"{things.job_id}:run", "value": 1, "threadId": things.thread_id}
        praise, blame = ({"feedback": {**given, "value": value}, "sessionId": "s"} for value in (1, 0))
        feedback_id = (await alice.put("/feedback", json=praise)).json()["feedbackId"]
        assert not (await bob.put("/feedback", json=blame)).is_success
        taken_back = await bob.request("DELETE", "/feedback", json={"feedbackId": feedback_id})
        assert not taken_back.is_success
        thread = (await alice.get(things.thread)).json()
        assert thread["name"] == SECRET
        assert [step["feedback"]["value"] for step in thread["steps"] if step.get("feedback")] == [1]


@pytest.mark.parametrize(("name", "expected"), [("alice", "resume_thread"), ("bob", "resume_thread_error")])
async def test_no_page_shows_anothers_thread(server: LoginServer, things: Things, name: str, expected: str) -> None:
    got: asyncio.Queue[str] = asyncio.Queue()
    async with (
        server.browser(name) as browser,
        page_socket(browser, session_id=str(uuid.uuid4()), thread_id=things.thread_id) as client,
    ):
        client.on("resume_thread", lambda _: got.put_nowait("resume_thread"))
        client.on("resume_thread_error", lambda _: got.put_nowait("resume_thread_error"))
        await client.emit("connection_successful")
        async with asyncio.timeout(30):
            assert await got.get() == expected


async def test_nobody_acts_in_anothers_page(server: LoginServer, things: Things) -> None:
    async with server.browser("alice") as alice, server.browser("bob") as bob, server.browser() as stranger:
        session_id = str(uuid.uuid4())
        async with page_socket(alice, session_id=session_id):
            for somebody, session in ((bob, session_id), (stranger, session_id), (stranger, "another")):
                with pytest.raises(socketio.exceptions.ConnectionError):
                    async with page_socket(somebody, session_id=session):
                        pass
            assert (await bob.post("/project/action", json=action("retry", things, session_id))).status_code == 401
            upload = {"file": ("a.txt", b"x", "text/plain")}
            answer = await bob.post(f"/project/file?session_id={session_id}", files=upload)
            assert answer.status_code == 404


def action(name: str, things: Things, session_id: str) -> dict[str, Any]:
    """A click on a button that is about alice's job."""
    payload = {"job_id": things.job_id, "values": {}}
    button = {"name": name, "payload": payload, "label": "", "tooltip": "", "forId": "x", "id": "y"}
    return {"action": button, "sessionId": session_id}


async def test_a_button_of_ones_own_page_moves_no_job_of_anothers(server: LoginServer, things: Things) -> None:
    async with server.browser("bob") as bob:
        session_id = str(uuid.uuid4())
        async with page_socket(bob, session_id=session_id):
            for name in ("retry", "submit_form"):
                assert (await bob.post("/project/action", json=action(name, things, session_id))).status_code == 200
    async with server.jobs() as jobs:
        assert len(await jobs.thread_jobs(things.thread_id)) == 1
