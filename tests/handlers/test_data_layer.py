"""Chainlit's data layer over jobs: threads are read from the log, deleting reaches everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chainlit.types import Feedback, Pagination, ThreadFilter
from chainlit.user import User

from files import DirectoryFileStore, StoredFileNotFound
from handlers.chat_store import ChatStore
from handlers.data_layer import DataLayer
from handlers.turns import Turns
from jobs.events import JobCompleted, StepFinished, StepStarted, TextDelta
from services.housekeeping import Housekeeping
from services.uploads import Uploads
from tests.jobs.engine import Engine, anything, chat, sqlite_engine, write
from tests.waiting import until

SOON = 30.0


@dataclass(kw_only=True)
class Desk:
    engine: Engine
    files: DirectoryFileStore
    layer: DataLayer

    async def answered(self, question: str, answer: str, **fields: object) -> str:
        """A finished turn."""
        job = await self.engine.client.submit(chat(question, **fields))
        claimed = await self.engine.store.claim("w1", anything())
        assert claimed is not None
        await write(
            self.engine.store,
            job.id,
            StepStarted(step="model:1", name="model", kind="model", attempt=1),
            TextDelta(step="model:1", text=answer),
            StepFinished(step="model:1", seconds=0.1),
            JobCompleted(result={"text": answer}, usage=None),
            epoch=claimed.epoch,
        )
        await self.engine.store.settle()
        return job.id


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    files = DirectoryFileStore(tmp_path / "files")
    async with (
        sqlite_engine(tmp_path) as engine,
        ChatStore(f"sqlite+aiosqlite:///{tmp_path / 'chat.db'}") as store,
        Housekeeping(engine.store, files, engine.wake, Uploads(engine.store, files, file_bytes=9, user_bytes=9)),
    ):
        layer = DataLayer(engine.client, Turns(engine.client, files), store)
        yield Desk(engine=engine, files=files, layer=layer)


async def test_a_thread_is_its_turns_read_from_the_log(desk: Desk) -> None:
    await desk.answered("a question", "the answer", thread_id="t", key="m1")
    await desk.answered("another", "one more", thread_id="t", key="m2")
    thread = await desk.layer.get_thread("t")
    assert thread is not None
    assert (thread["name"], thread["userIdentifier"]) == ("a question", "ada")
    spoken = [(step["type"], step["output"]) for step in thread["steps"] if step["type"] != "run"]
    assert spoken == [
        ("user_message", "a question"),
        ("assistant_message", "the answer"),
        ("user_message", "another"),
        ("assistant_message", "one more"),
    ]


async def test_what_does_not_exist_is_none_and_has_no_author(desk: Desk) -> None:
    assert await desk.layer.get_thread("missing") is None
    assert await desk.layer.get_thread_author("missing") == ""
    await desk.layer.delete_thread("missing")


async def test_the_sidebar_is_paged_and_its_search_finds_answers(desk: Desk) -> None:
    for n in range(5):
        desk.engine.clock.now += 1
        await desk.answered(f"question {n}", f"answer {n}", thread_id=f"t{n}")
    first = await desk.layer.list_threads(Pagination(first=3), ThreadFilter(userId="ada"))
    rest = await desk.layer.list_threads(
        Pagination(first=3, cursor=first.pageInfo.endCursor), ThreadFilter(userId="ada")
    )
    assert [thread["id"] for thread in first.data + rest.data] == ["t4", "t3", "t2", "t1", "t0"]
    assert (first.pageInfo.hasNextPage, rest.pageInfo.hasNextPage) == (True, False)
    found = await desk.layer.list_threads(Pagination(first=3), ThreadFilter(userId="ada", search="answer 2"))
    assert [thread["id"] for thread in found.data] == ["t2"]
    assert not (await desk.layer.list_threads(Pagination(first=3), ThreadFilter(userId="bob"))).data


async def test_the_first_message_does_not_rename_but_a_person_does(desk: Desk) -> None:
    await desk.answered("short title", "x", thread_id="t")
    await desk.layer.update_thread("t", name="short title and all the rest of it", user_id="ada")
    assert (await desk.engine.client.thread("t")).title == "short title"
    await desk.layer.update_thread("t", name="My own")
    assert (await desk.engine.client.thread("t")).title == "My own"
    await desk.layer.update_thread("t", metadata={"is_shared": True})
    thread = await desk.layer.get_thread("t")
    assert thread is not None
    assert not (thread["metadata"] or {}).get("is_shared"), "sharing is not offered, so it must not be settable"


async def test_deleting_a_thread_deletes_its_jobs_logs_and_files(desk: Desk, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    file = await desk.files.save(name="a", mime="text/plain", owner="ada", source=source, limit_bytes=9)
    job_id = await desk.answered("q", "a", thread_id="t", files=(file.id,))
    await desk.files.save_artifact(job_id, name="made.csv", mime="text/csv", source=b"1")
    await desk.layer.upsert_feedback(Feedback(forId=f"{job_id}:run", value=1, threadId="t"))
    await desk.layer.delete_thread("t")
    assert await desk.layer.get_thread("t") is None

    async def gone() -> bool:
        return not await desk.engine.store.read(job_id, 0, 1)

    await until(gone, within=SOON, what="the log is purged")
    with pytest.raises(StoredFileNotFound):
        await desk.files.get(file.id)
    with pytest.raises(StoredFileNotFound):
        desk.files.artifact_path(job_id, "made.csv")


async def test_a_user_is_made_once(desk: Desk) -> None:
    assert await desk.layer.get_user("ada") is None
    made = await desk.layer.create_user(User(identifier="ada", metadata={"role": "x"}))
    again = await desk.layer.create_user(User(identifier="ada", metadata={"role": "y"}))
    assert (made.id, again.createdAt, again.metadata) == ("ada", made.createdAt, {"role": "y"})


async def test_feedback_is_shown_with_its_run_and_can_be_changed_and_taken_back(desk: Desk) -> None:
    job_id = await desk.answered("q", "a", thread_id="t")

    async def shown() -> list[int]:
        thread = await desk.layer.get_thread("t")
        assert thread is not None
        return [step["feedback"]["value"] for step in thread["steps"] if step.get("feedback")]

    given = Feedback(forId=f"{job_id}:run", value=0, threadId="t", comment="no")
    feedback_id = await desk.layer.upsert_feedback(given)
    assert await shown() == [0]
    await desk.layer.upsert_feedback(Feedback(forId=f"{job_id}:run", value=1, threadId="t", id=feedback_id))
    assert await shown() == [1]
    assert await desk.layer.delete_feedback(feedback_id)
    assert await shown() == []


async def test_a_file_of_the_store_is_opened_again_with_what_is_in_it(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'chat.db'}"
    async with ChatStore(url) as first:
        await first.save_user("ada", {})
    async with ChatStore(url) as second:
        assert (await second.user("ada")) is not None
