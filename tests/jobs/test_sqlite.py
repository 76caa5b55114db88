"""What is SQLite's own: which indexes its planner takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.models import Limits
from jobs.sqlite import database
from jobs.sqlite.database import SqliteConnection
from jobs.store import JobFilter
from tests.jobs.engine import chat, claim, sqlite_engine


async def test_no_statement_of_the_queue_reads_through_all_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []

    class Traced(SqliteConnection):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[arg-type]
            self.set_trace_callback(statements.append)

    monkeypatch.setattr(database, "SqliteConnection", Traced)
    async with sqlite_engine(tmp_path, limits=Limits(queued_jobs=99)) as engine:
        statements.clear()  # the migrations
        store = engine.store
        job = await store.submit(chat(thread_id="t"))
        other = await store.submit(chat(task="tool"))
        await claim(store)
        await store.waits([job, other])
        await store.positions([job, other])
        await store.changed_jobs("ada", 0.0, 10)
        await store.jobs(JobFilter(user="ada"))
        await store.request_cancel(other.id, "ada")
        connection = database.connect(tmp_path / "jobs.db")
        queries = {one for one in statements if one.lstrip().startswith("SELECT") and "jobs" in one}
        plans = {query: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")] for query in queries}
        connection.close()
    assert len(plans) > 8
    slow = {query: plan for query, plan in plans.items() if "SCAN jobs" in plan}
    assert not slow
