"""`scripts/backup` beside a server that works, and `scripts/restore`: what was finished is whole, what ran goes on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.backups import BackupRefused, back_up, restore
from services.data_dir import DataDir
from tests.api.events import follow, text_of
from tests.conftest import StartServer, model_environment
from tests.endpoint import Endpoint, script
from tests.jobs.engine import chat, sqlite_engine
from tests.server import Server
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
SOON = 30
CONTENT = b"a file that the jobs name\n" * 1000


async def typed(script_name: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of one of the two scripts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, f"scripts/{script_name}", *arguments),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), SOON)
    assert process.returncode is not None
    return process.returncode, said.decode()


@contextlib.asynccontextmanager
async def load(client: httpx.AsyncClient) -> AsyncIterator[list[str]]:
    """Somebody uploads files and names each in a job, again and again. Yields the ids of the jobs so far."""
    made: list[str] = []

    async def submit() -> None:
        while True:
            file = (await client.post("/api/files", files={"file": ("a.txt", CONTENT)})).json()["id"]
            asked = {"task": "chat", "input": script(tokens=200, rate=400), "files": [file]}
            made.append((await client.post("/api/jobs", json=asked)).json()["id"])

    loading = asyncio.create_task(submit())
    try:
        yield made
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)


async def jobs_of(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer: dict[str, Any] = (await client.get("/api/jobs", params={"limit": 100})).json()
    return list(answer["data"])


async def answer_of(client: httpx.AsyncClient, job_id: str) -> str:
    events = await follow(client, job_id)
    assert events[-1].name == "job.completed"
    assert [int(event.id or 0) for event in events] == list(range(1, len(events) + 1))
    begins = [place for place, event in enumerate(events) if event.name == "step.started"]
    return text_of(events[begins[-1] :])


def words(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))


@pytest.fixture
def second(endpoint: Endpoint, tmp_path: Path) -> Iterator[Server]:
    """A server on a data dir of its own, not started."""
    folder = tmp_path / "restored"
    folder.mkdir()
    server = Server(folder, model_environment(endpoint))
    yield server
    server.stop()
    server.check_log()


async def test_a_backup_of_a_server_under_load_has_all_answers_and_goes_on_with_what_ran(
    start_server: StartServer, second: Server, endpoint: Endpoint, tmp_path: Path
) -> None:
    first = await start_server()
    folder = str(tmp_path / "backups" / "monday")
    held = script(tokens=60, hold=20)
    async with httpx.AsyncClient(base_url=first.url, timeout=SOON) as client:
        running = (await client.post("/api/jobs", json={"task": "chat", "input": held})).json()["id"]
        await until(lambda: endpoint.requests(held), within=SOON, what="the model is asked")
        async with load(client) as made:
            await until(lambda: len(made) > 5, within=SOON, what="some jobs")
            known = list(made)
            code, said = await typed("backup", folder, LONGHAUL_DATA_DIR=str(first.data_dir))
            assert (code, " jobs and " in said) == (0, True), said
    data_dir = str(second.data_dir)
    code, said = await typed("restore", folder, LONGHAUL_DATA_DIR=str(first.data_dir))
    assert (code, "A server is using" in said) == (2, True), said
    code, said = await typed("restore", folder, LONGHAUL_DATA_DIR=data_dir)
    assert (code, "start the server" in said) == (0, True), said
    endpoint.release(held)
    await second.start()
    async with httpx.AsyncClient(base_url=second.url, timeout=SOON) as client:
        restored = await jobs_of(client)
        assert {running, *known} <= {job["id"] for job in restored}
        for job in restored:
            expected = words(60) if job["id"] == running else words(200)
            assert await answer_of(client, job["id"]) == expected
    with contextlib.closing(sqlite3.connect(second.data_dir / "jobs.db")) as database:
        named = {row[0] for row in database.execute("SELECT json_extract(request, '$.files[0]') FROM jobs")} - {None}
    digest = hashlib.sha256(CONTENT).digest()
    assert named
    for file in named:
        content = (second.data_dir / "files" / "uploads" / file / "content").read_bytes()
        assert hashlib.sha256(content).digest() == digest


async def test_with_postgres_each_script_says_in_one_line_what_to_use_instead(tmp_path: Path) -> None:
    url = "postgresql://somebody:pa55word@127.0.0.1:9/none"
    for name, tool in [("backup", "pg_dump"), ("restore", "pg_restore")]:
        code, said = await typed(name, str(tmp_path / "b"), LONGHAUL_DATA_DIR=str(tmp_path), DATABASE_URL=url)
        assert code == 2
        (line,) = said.splitlines()
        assert tool in line
        assert "pa55word" not in line


@pytest.fixture
async def stored(tmp_path: Path) -> DataDir:
    """A data dir with a job in it and the record of a worker."""
    data = DataDir(tmp_path / "data")
    data.path.mkdir()
    async with sqlite_engine(data.path) as engine:
        await engine.store.submit(chat("the only job"))
        async with engine.dispatcher():
            pass
    (data.path / "auth_secret").write_text("s3cret")
    return data


def questions(data: DataDir) -> list[str]:
    with contextlib.closing(sqlite3.connect(data.jobs)) as database:
        return [row[0] for row in database.execute("SELECT json_extract(request, '$.input') FROM jobs")]


def test_what_is_in_the_way_is_set_aside_and_only_when_asked(stored: DataDir, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    back_up(stored, backup)
    (stored.path / "auth_secret").write_text("later")
    with pytest.raises(BackupRefused, match="--replace"):
        restore(backup, stored, replace=False)
    aside = restore(backup, stored, replace=True)
    assert aside is not None
    assert (aside / "auth_secret").read_text() == "later"
    assert (stored.path / "auth_secret").read_text() == "s3cret"
    assert questions(stored) == ["the only job"]
    back_up(stored, tmp_path / "second")
    assert not list((tmp_path / "second").glob("before-restore-*"))


def test_what_cannot_be_a_backup_or_hold_one_is_refused(stored: DataDir, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    for data, folder, sentence in [
        (stored, tmp_path / "full", "exists already"),
        (stored, stored.path / "backup", "outside "),
        (DataDir(tmp_path / "none"), tmp_path / "b", "nothing to back up"),
    ]:
        with pytest.raises(BackupRefused, match=sentence):
            back_up(data, folder)
    with pytest.raises(BackupRefused, match="is not a backup"):
        restore(tmp_path / "full", DataDir(tmp_path / "new"), replace=False)


def test_a_database_that_a_tool_has_open_is_copied_with_what_its_log_still_holds(
    stored: DataDir, tmp_path: Path
) -> None:
    folder = stored.files / "storage" / "threads" / "a"
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / "index.db", isolation_level=None)) as index:
        index.execute("PRAGMA journal_mode = WAL")
        index.execute("CREATE TABLE words (word)")
        index.execute("INSERT INTO words VALUES ('there')")
        back_up(stored, tmp_path / "backup")
    copy = tmp_path / "backup" / "files" / "storage" / "threads" / "a" / "index.db"
    with contextlib.closing(sqlite3.connect(copy)) as index:
        assert index.execute("SELECT word FROM words").fetchall() == [("there",)]


def test_a_damaged_database_is_told_and_leaves_no_backup(stored: DataDir, tmp_path: Path) -> None:
    content = bytearray(stored.jobs.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    stored.jobs.write_bytes(content)
    with pytest.raises(OSError, match=r"jobs\.db"):
        back_up(stored, tmp_path / "backup")
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]
