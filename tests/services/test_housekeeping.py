"""What people deleted is cleared away, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from files import DirectoryFileStore, StoredFileNotFound
from jobs.models import JobRequest
from jobs.sqlite import SqliteStore
from jobs.wake import DatagramWake
from services.housekeeping import Housekeeping
from tests.waiting import until


@dataclass(frozen=True, kw_only=True)
class House:
    store: SqliteStore
    files: DirectoryFileStore

    async def upload(self) -> str:
        async def content() -> AsyncIterator[bytes]:
            yield b"x"

        saved = await self.files.save(name="a", mime="text/plain", owner="ada", source=content(), limit_bytes=9)
        return saved.id

    async def say(self, thread: str, *files: str) -> None:
        await self.store.submit(JobRequest(task="chat", user="ada", input="hello", thread_id=thread, files=files))

    async def delete(self, thread: str) -> None:
        """Until nothing is left of it."""
        await self.store.delete_thread(thread, "ada")
        await until(lambda: self._is_gone(thread), within=30, what=f"{thread} is cleared away")

    async def _is_gone(self, thread: str) -> bool:
        return not await self.store.thread_jobs(thread) and not await self.store.deleted_threads()

    async def has(self, file_id: str) -> bool:
        try:
            await self.files.get(file_id, "ada")
        except StoredFileNotFound:
            return False
        return True


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        wake = await stack.enter_async_context(DatagramWake(tmp_path / "wake"))
        store = await stack.enter_async_context(SqliteStore(tmp_path / "jobs.db", wake))
        files = DirectoryFileStore(tmp_path / "files")
        await stack.enter_async_context(Housekeeping(store, files, wake))
        yield House(store=store, files=files)


async def test_a_file_used_in_two_threads_survives_the_deletion_of_one_and_goes_with_the_other(house: House) -> None:
    shared, own = await house.upload(), await house.upload()
    await house.say("first", shared, own)
    await house.say("first", shared)
    await house.say("second", shared)
    await house.delete("first")
    assert (await house.has(shared), await house.has(own)) == (True, False)
    await house.delete("second")
    assert not await house.has(shared)


async def test_what_tools_kept_goes_with_its_thread_also_when_no_turn_is_left(house: House) -> None:
    for thread in ("spoken in", "emptied"):
        await house.say(thread.replace(" ", "-"))
    [turn] = await house.store.thread_jobs("emptied")
    await house.store.request_cancel(turn.id, "ada")
    await house.store.delete_job(turn.id, "ada")
    for thread in ("spoken-in", "emptied"):
        kept = house.files.storage("ada", "thread", thread)
        kept.mkdir(parents=True)
        await house.delete(thread)
        assert not kept.exists()
