"""A database of a later version: every process that would work on it says so in one line and ends with 2."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg

from handlers.chat_store.store import ChatStore
from tests.jobs.engine import opened_postgres, sqlite_engine
from tests.ports import free_port
from tests.postgres import borrowed_schema

ROOT = Path(__file__).resolve().parent.parent.parent
SOON = 60
WORKER = [sys.executable, "worker.py"]
SENTENCE = "longhaul: The database was written by a later version of Longhaul."


async def refused(command: list[str], data_dir: Path, **environment: str) -> str:
    """Returns the only line of ours that the process says."""
    known = {"PATH": os.environ["PATH"], "HOME": str(data_dir), "LONGHAUL_DATA_DIR": str(data_dir)}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=known | {"CHAINLIT_APP_ROOT": str(data_dir)} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), SOON)
    finally:
        if process.returncode is None:
            process.kill()
    (line,) = [line for line in said.decode().splitlines() if not line.startswith("INFO: ")]  # uvicorn's own
    assert process.returncode == 2
    return line


async def test_a_worker_refuses_a_later_sqlite_file(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        database.execute("PRAGMA user_version = 99")
    assert (await refused(WORKER, tmp_path)).startswith(SENTENCE)


async def test_a_worker_refuses_a_later_postgres_database(tmp_path: Path) -> None:
    async with borrowed_schema(str(tmp_path)) as url:
        async with opened_postgres(url, tmp_path):
            pass
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("INSERT INTO longhaul_schema VALUES (99)")
            try:
                line = await refused(WORKER, tmp_path, DATABASE_URL=url)
            finally:  # the schema is lent to others
                database.execute("DELETE FROM longhaul_schema WHERE version = 99")
    assert line.startswith(SENTENCE)


async def test_a_web_process_refuses_a_later_database_of_the_chat(tmp_path: Path) -> None:
    async with ChatStore(f"sqlite+aiosqlite:///{tmp_path / 'chat.db'}"):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "chat.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    uvicorn = str(Path(sys.executable).with_name("uvicorn"))
    command = [uvicorn, "asgi:app", "--port", str(free_port())]
    assert (await refused(command, tmp_path)).startswith(SENTENCE)
