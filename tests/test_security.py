"""What docs/security.md promises of files and secrets, held against the real server by both entries."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from files import DirectoryFileStore
from jobs import JobRequest
from settings import Settings
from tests.processes import PROC
from tests.server import Server
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "the-key-of-ada-is-long-enough"
SECRETS = {
    "OPENAI_API_KEY": "sk-our-own-secret",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "LONGHAUL_API_KEYS": f"ada:{KEY}",
    "CHAINLIT_AUTH_SECRET": "",
    "AWS_SECRET_ACCESS_KEY": "of-something-else",
}
FOR_TOOLS = {
    "TOOL_WEATHER_KEY": "of-a-tool",
    "TZ": "UTC",
    "LC_TIME": "C.UTF-8",
    "TMPDIR": "/tmp",
    "no_proxy": "127.0.0.1",
    "NO_PROXY": "127.0.0.1",
    "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
}
OPEN_BEFORE = ("jobs.db", "chat.db")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["chainlit run app.py", "uvicorn asgi:app"])
async def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Started on what an earlier version left in a data dir that everybody may open, under a careless umask."""
    production = request.param.startswith("uvicorn")
    environment = {**SECRETS, **FOR_TOOLS, "LONGHAUL_EMBEDDED_WORKERS": "1"}
    server = Server(tmp_path_factory.mktemp("open"), environment, production=production)
    server.data_dir.mkdir()
    server.data_dir.chmod(0o755)
    for name in OPEN_BEFORE:
        sqlite3.connect(server.data_dir / name).execute("PRAGMA journal_mode = WAL").close()
        (server.data_dir / name).chmod(0o644)
    (server.data_dir / "auth_secret").touch(mode=0o644)
    await server.start()
    yield server
    server.stop()
    server.check_log()


def variables(pid: int) -> dict[str, str]:
    """The environment that the process was started with."""
    pairs = (PROC / str(pid) / "environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


async def test_tool_hosts_get_their_own_variables_and_none_of_the_servers_secrets(server: Server) -> None:
    hosts = server.hosts()
    assert hosts
    for pid in hosts:
        assert variables(pid).keys() == {"PATH", "HOME", "LANG", *FOR_TOOLS}
        assert FOR_TOOLS.items() <= variables(pid).items()


async def test_an_empty_secret_is_made_anew_and_everybody_can_come_in(server: Server) -> None:
    page = await server.get("/")
    assert page.status_code == 200
    assert "set-cookie" in page.headers
    assert len((server.data_dir / "auth_secret").read_text()) >= 43
    assert "WARNING secret empty or damaged; made a new one" in server.log()


async def test_every_process_makes_files_for_its_own_user_alone(server: Server) -> None:
    pids = server.processes()
    assert len(pids) >= 3, "the web process, a worker, a tool host"
    for pid in pids:
        status = (PROC / str(pid) / "status").read_text()
        assert "Umask:\t0077" in status, (PROC / str(pid) / "cmdline").read_text()


async def test_nobody_else_may_read_what_is_kept_also_in_an_open_data_dir(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}) as ada:
        file = (await ada.post("/api/files", files={"file": ("a.csv", b"a\n1\n")})).json()["id"]
        body = {"task": "analyze_table", "arguments": {"table": file}}
        job = (await ada.post("/api/jobs", json=body)).json()["id"]

        async def done() -> bool:
            ended = (await ada.get(f"/api/jobs/{job}")).json()["status"] == "completed"
            return ended and not [*server.data_dir.glob("scratch/*/call-*")]  # which vanish while others are looked at

        await until(done, within=60, what="the job has made files, and its temporary ones are gone")
    found = [path for path in server.data_dir.rglob("*") if not path.is_socket()]
    names = {path.name for path in found}
    assert {"jobs.db", "jobs.db-wal", "jobs.db-shm", "chat.db", "auth_secret", "content", "about.json"} <= names
    assert any(path.suffix == ".lock" for path in found)
    assert [(path.name, oct(mode)) for path in found if (mode := _mode(path)) & 0o077] == []


async def test_a_thread_with_a_damaged_file_opens_and_says_what_was_said(server: Server) -> None:
    files = DirectoryFileStore(server.data_dir / "files")
    (server.data_dir.parent / "a.txt").write_bytes(b"x")
    stored = await files.save(
        name="a.txt", mime="text/plain", owner="local", source=server.data_dir.parent / "a.txt", limit_bytes=9
    )
    async with server.jobs() as jobs:
        await jobs.submit(
            JobRequest(task="chat", user="local", input="look at it", thread_id="damaged", files=(stored.id,))
        )
    files.path(stored.id).with_name("about.json").write_bytes(b"")
    async with httpx.AsyncClient(base_url=server.url) as browser:
        (await browser.get("/")).raise_for_status()
        thread = await browser.get("/project/thread/damaged")
        assert (thread.status_code, thread.json()["steps"][0]["output"]) == (200, "look at it")
        assert (await browser.get(f"/project/file/{stored.id}")).status_code == 404


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:  # a draft, or a scratch directory: gone by now
        return 0


@pytest.mark.parametrize(
    "name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "LC_ALL"]
)
async def test_what_tools_need_to_reach_others_is_passed_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    assert Settings.load().tool_environment[name] == "x"


@pytest.mark.parametrize(
    "name",
    [
        "LONGHAUL_API_KEYS",
        "DATABASE_URL",
        "LONGHAUL_LISTEN_URL",
        "OAUTH_GITHUB_CLIENT_SECRET",
        "MY_TOOL_KEY",
        "PYTHONPATH",
        "TOOLS",
    ],
)
async def test_nothing_else_is_passed_on_to_tools(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "postgresql://ada@db/x" if name.endswith("_URL") else "ada:the-key-of-ada-is-long-enough")
    assert name not in Settings().tool_environment
