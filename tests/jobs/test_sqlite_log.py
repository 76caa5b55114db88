"""SQLite's log beside the database grows while somebody reads for long, and shrinks again afterwards."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.events import TextDelta
from jobs.sqlite import database
from tests.jobs.engine import Engine, chat, claim, sqlite_engine, write
from tests.waiting import until

SOON = 20
LOG_BYTES = 1_000_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOG_BYTES", LOG_BYTES)


@contextlib.contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Somebody reads the state of one moment, such as a backup does."""
    with contextlib.closing(sqlite3.connect(directory / "jobs.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        yield


def log_bytes(directory: Path) -> int:
    return (directory / "jobs.db-wal").stat().st_size


async def grow(engine: Engine) -> None:
    """Writes eight megabytes while somebody reads."""
    await engine.store.submit(chat())
    job = await claim(engine.store)
    assert job is not None
    with reading(engine.directory):
        for _ in range(80):
            await write(engine.store, job.id, TextDelta(step="model:1", text="x" * 100_000))
        assert log_bytes(engine.directory) > 8 * LOG_BYTES


async def test_the_log_is_cut_by_the_writes_after_a_long_read(tmp_path: Path) -> None:
    async with sqlite_engine(tmp_path) as engine:
        await grow(engine)

        async def is_small() -> bool:
            await engine.store.submit(chat())
            return log_bytes(tmp_path) <= LOG_BYTES

        await until(is_small, within=SOON, what="the log is small again")


async def test_the_log_is_cut_when_nobody_writes_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "IDLE_SECONDS", 0.05)
    async with sqlite_engine(tmp_path) as engine:
        await grow(engine)
        await until(lambda: log_bytes(tmp_path) <= LOG_BYTES, within=SOON, what="the log is small again")
