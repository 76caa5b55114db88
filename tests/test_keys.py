"""`scripts/keys` and the file that it writes, on the real server: keys come and go without a restart."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server import Server
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
FIXED = "the-secret-key-of-robot"


def keys(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/keys", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LONGHAUL_API_KEYS_FILE": str(file), "LONGHAUL_DATA_DIR": f"{file}.data"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def added(file: Path, name: str, *options: str) -> str:
    """The key that is shown."""
    done = await asyncio.to_thread(keys, file, "add", name, *options)
    assert done.returncode == 0, done.stderr
    (key,) = done.stdout.splitlines()
    return key


def test_a_key_is_shown_once_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first, second = keys(file, "add", "alice"), keys(file, "add", "bob", "--expires", "30d")
    assert len(first.stdout.strip()) >= 40
    assert first.stdout != second.stdout
    listed = keys(file, "list").stdout
    assert listed.splitlines()[0] == "alice\tdoes not expire"
    assert listed.splitlines()[1].startswith("bob\tuntil 20")
    assert first.stdout.strip() not in file.read_text() + listed
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"keys", "keys.data"}
    assert "key added" in (tmp_path / "keys.data" / "audit.jsonl").read_text()
    assert keys(file, "revoke", "alice").returncode == 0
    assert "alice" not in keys(file, "list").stdout


def test_what_it_cannot_do_it_says_in_one_sentence(tmp_path: Path) -> None:
    file, bad = tmp_path / "keys", tmp_path / "bad"
    bad.write_text("hunter2\n")
    assert keys(file, "add", "alice").returncode == 0
    for done, words in [
        (keys(file, "add", "alice"), "has a key already"),
        (keys(file, "add", "local"), "shared user"),
        (keys(file, "add", "bob", "--expires", "2001-01-01"), "not in the future"),
        (keys(file, "add", "bob", "--expires", "soon"), "not understood"),
        (keys(file, "revoke", "bob"), "has no key"),
        (keys(bad, "add", "bob"), "line 1 does not fit"),
        (keys(tmp_path / "none" / "keys", "add", "bob"), "No such file or directory"),
    ]:
        assert done.returncode in {1, 2}
        (sentence,) = done.stderr.splitlines()
        assert words in sentence
        assert "hunter2" not in sentence
    assert len(file.read_text().splitlines()) == 1


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keys").touch()
    (folder / "server").mkdir()
    server = Server(
        folder / "server",
        {
            "LONGHAUL_API_KEYS": f"robot:{FIXED}",
            "LONGHAUL_API_KEYS_FILE": str(folder / "keys"),
            "LONGHAUL_SSE_PING_SECONDS": "0.5",
        },
    )
    yield server
    server.stop()
    server.expected_noise = ("file of API keys unusable",)
    server.check_log()


@pytest.fixture
async def server(kept: Server) -> Server:
    """Shared: each test adds keys for people of its own."""
    if not kept.log():
        await kept.start()
    return kept


def keys_file(server: Server) -> Path:
    return Path(server.environment["LONGHAUL_API_KEYS_FILE"])


async def status(server: Server, key: str) -> int:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as client:
        return (await client.get("/api/me")).status_code


async def test_keys_come_expire_and_go_while_the_server_runs(server: Server) -> None:
    file = keys_file(server)
    assert await status(server, "a-key-that-nobody-has") == 401
    key = await added(file, "alice")
    await until(lambda: answers(server, key, 200), within=30, what="the new key is known")
    assert await status(server, FIXED) == 200, "keys of the variable count beside those of the file"

    whole = file.read_text()
    file.write_text("hunter2")

    async def noticed() -> bool:
        assert await status(server, key) == 200, "what was read last still counts"
        return "file of API keys unusable" in server.log()

    await until(noticed, within=30, what="the log names the bad file")
    assert "hunter2" not in server.log()
    server.kill_workers()
    await server.workers_ready()

    file.write_text(whole.replace("never", str(int(time.time()) - 1)))
    await until(lambda: answers(server, key, 401), within=30, what="the expired key is refused")
    file.write_text(whole)
    await until(lambda: answers(server, key, 200), within=30, what="the key is valid again")
    assert (await asyncio.to_thread(keys, file, "revoke", "alice")).returncode == 0
    await until(lambda: answers(server, key, 401), within=30, what="the revoked key is refused")


async def answers(server: Server, key: str, code: int) -> bool:
    return await status(server, key) == code


async def test_the_streams_of_a_revoked_key_end(server: Server) -> None:
    key = await added(keys_file(server), "bob")
    await until(lambda: answers(server, key, 200), within=30, what="the new key is known")
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as client,
        client.stream("GET", "/api/events") as stream,
    ):
        assert stream.status_code == 200
        assert (await asyncio.to_thread(keys, keys_file(server), "revoke", "bob")).returncode == 0
        async with asyncio.timeout(30):
            async for _ in stream.aiter_bytes():  # up to its clean end
                continue
