"""What people deleted is cleared away, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from files import DirectoryFileStore, FileTooLarge, StoredFileNotFound
from jobs.errors import JobConflict, JobNotFound, StorageFull
from jobs.events import JobCompleted
from jobs.models import Job, JobRequest, Limits
from jobs.rules import Eligibility
from jobs.sqlite import SqliteStore
from jobs.wake import DatagramWake
from services.housekeeping import Calendar, Housekeeping
from services.uploads import Uploads
from tests.waiting import until

DAY = 86_400.0
RETENTION_DAYS, FILE_BYTES, USER_BYTES = 30, 100, 150
EVERYBODY = Eligibility(tasks=["chat"], alive=["worker"], user_slots=9, running=[])


@dataclass
class Clock:
    """Unix seconds, and seconds since the machine started; a jump moves only the first."""

    now: float = 1_000 * DAY
    passed: float = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += days * DAY
        self.passed += days * DAY


async def content(data: bytes) -> AsyncIterator[bytes]:
    yield data


@dataclass(frozen=True, kw_only=True)
class House:
    store: SqliteStore
    files: DirectoryFileStore
    uploads: Uploads
    keeping: Housekeeping
    clock: Clock

    async def upload(self) -> str:
        return (await self.uploads.save(name="a", mime="text/plain", owner="ada", source=content(b"x"))).id

    async def say(self, thread: str, *files: str, task: str = "chat") -> None:
        await self.store.submit(JobRequest(task=task, user="ada", input="hello", thread_id=thread, files=files))

    async def answered(self, thread: str | None, *files: str) -> Job:
        """A turn that has ended, with an artifact."""
        job = await self.store.submit(JobRequest(task="chat", user="ada", input="hi", thread_id=thread, files=files))
        claimed = await self.store.claim("worker", EVERYBODY)
        assert claimed is not None
        assert claimed.id == job.id
        await self.store.add_artifact(claimed, "a.csv", 10)
        await self.files.save_artifact(job.root_id, name="a.csv", mime="text/csv", source=b"0123456789")
        ending = JobCompleted(result=None, usage=None).entry()
        await self.store.append(job.id, claimed.epoch, [ending], after=claimed.last_seq, answer="")
        return job

    async def look(self) -> None:
        """As every minute, until what is old is gone."""
        await self.keeping.clear_old()
        await until(self._is_clear, within=30, what="old threads are cleared away")

    async def _is_clear(self) -> bool:
        return not await self.store.deleted_threads()

    async def exists(self, job: Job) -> bool:
        try:
            await self.store.get(job.id)
        except JobNotFound:
            return False
        return True

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
        clock = Clock()
        limits = Limits(stored_bytes=USER_BYTES)
        store = await stack.enter_async_context(SqliteStore(tmp_path / "jobs.db", wake, clock=clock, limits=limits))
        files = DirectoryFileStore(tmp_path / "files")
        uploads = Uploads(store, files, file_bytes=FILE_BYTES, user_bytes=USER_BYTES, clock=clock)
        calendar = Calendar(clock, passed=lambda: clock.passed)
        keeping = Housekeeping(store, files, wake, uploads, retention_days=RETENTION_DAYS, calendar=calendar)
        await stack.enter_async_context(keeping)
        yield House(store=store, files=files, uploads=uploads, keeping=keeping, clock=clock)


async def test_a_file_used_in_two_threads_survives_the_deletion_of_one_and_goes_with_the_other(house: House) -> None:
    shared, own = await house.upload(), await house.upload()
    await house.say("first", shared, own)
    await house.say("first", shared)
    await house.say("second", shared)
    await house.delete("first")
    assert (await house.has(shared), await house.has(own)) == (True, False)
    await house.delete("second")
    assert not await house.has(shared)


async def test_the_deletion_of_a_job_that_was_cut_short_goes_on(house: House) -> None:
    job = await house.answered(None)
    kept = house.files.storage("ada", "job", job.root_id)
    kept.mkdir(parents=True)
    await house.store.delete_job(job.id, "ada")  # and the process was killed here
    assert house.files.artifact_path(job.root_id, "a.csv").exists()
    await house.keeping.clear_old()
    assert await house.store.read(job.id, 0, 10) == []
    assert not kept.exists()
    with pytest.raises(StoredFileNotFound):
        house.files.artifact_path(job.root_id, "a.csv")


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


async def test_what_ended_longer_ago_than_the_retention_goes_with_all_that_belongs_to_it(house: House) -> None:
    file = await house.upload()
    old, alone = await house.answered("old", file), await house.answered(None)
    await house.say("waiting", file, task="a task that nobody has")
    forgotten: list[str] = []

    async def forget(thread: str) -> None:
        forgotten.append(thread)

    house.keeping.also_forget(forget)
    house.clock.pass_days(RETENTION_DAYS - 1)
    await house.look()
    assert await house.exists(old)
    assert await house.exists(alone)
    recent = await house.answered("recent")
    house.clock.pass_days(2)
    await house.look()
    assert [await house.exists(job) for job in (old, alone, recent)] == [False, False, True]
    assert await house.store.thread_jobs("waiting"), "what has not ended is kept, and its file with it"
    assert await house.has(file)
    assert forgotten == ["old"]
    for job in (old, alone):
        with pytest.raises(StoredFileNotFound):
            house.files.artifact_path(job.root_id, "a.csv")
    assert await house.store.stored_bytes("ada") == 11


async def test_an_upload_that_no_job_names_goes_after_a_day(house: House) -> None:
    unused, used = await house.upload(), await house.upload()
    await house.say("t", used)
    house.clock.pass_days(0.9)
    await house.look()
    assert await house.has(unused)
    house.clock.pass_days(0.2)
    await house.look()
    assert (await house.has(unused), await house.has(used)) == (False, True)
    assert [upload.id for upload in await house.uploads.find("ada", limit=9, before=None)] == [used]


async def test_a_clock_that_jumps_by_a_year_deletes_nothing(house: House) -> None:
    file, job = await house.upload(), await house.answered("t")
    house.clock.now += 365 * DAY
    await house.look()
    house.clock.pass_days(0.5)
    await house.look()
    house.clock.now -= 365 * DAY
    await house.look()
    assert await house.exists(job)
    assert await house.has(file)
    house.clock.pass_days(RETENTION_DAYS + 1)
    await house.look()
    assert not await house.exists(job)


async def test_a_user_stores_no_more_than_the_limit_and_deleting_makes_room(house: House) -> None:
    async def save(size: int) -> str:
        return (await house.uploads.save(name="a", mime="a/b", owner="ada", source=content(b"x" * size))).id

    first = await save(80)
    with pytest.raises(FileTooLarge):
        await house.uploads.save(name="a", mime="a/b", owner="bob", source=content(b"x" * 101))
    with pytest.raises(StorageFull, match="may store"):
        await save(80)
    await save(70)
    with pytest.raises(StorageFull):
        await save(1)
    await house.uploads.delete(first, "ada")
    await save(80)


async def test_artifacts_count_towards_the_limit_and_the_one_that_is_replaced_does_not(house: House) -> None:
    await house.say("t")
    job = await house.store.claim("worker", EVERYBODY)
    assert job is not None
    await house.store.add_artifact(job, "report.md", 100)
    await house.store.add_artifact(job, "report.md", 120)
    with pytest.raises(StorageFull):
        await house.store.add_artifact(job, "chart.png", 40)
    assert await house.store.stored_bytes("ada") == 120


async def test_a_file_that_a_waiting_job_names_cannot_be_deleted_nor_can_anothers(house: House) -> None:
    file = await house.upload()
    await house.say("t", file)
    [upload] = await house.uploads.find("ada", limit=9, before=None)
    assert (upload.id, upload.used_by) == (file, 1)
    with pytest.raises(JobConflict):
        await house.uploads.delete(file, "ada")
    with pytest.raises(StoredFileNotFound):
        await house.uploads.delete(file, "bob")
    assert await house.has(file)


async def test_what_an_earlier_version_stored_is_listed_at_the_start(house: House) -> None:
    saved = await house.files.save(name="a", mime="a/b", owner="ada", source=content(b"xy"), limit_bytes=9)
    assert await house.uploads.find("ada", limit=9, before=None) == []
    await house.uploads.list_earlier()
    await house.uploads.list_earlier()
    [upload] = await house.uploads.find("ada", limit=9, before=None)
    assert (upload.id, upload.name, upload.size) == (saved.id, "a", 2)


async def test_a_clock_that_is_far_ahead_at_the_start_deletes_nothing_for_a_day(house: House) -> None:
    job = await house.answered("t")
    house.clock.now += 365 * DAY
    calendar = Calendar(house.clock, passed=lambda: house.clock.passed)
    calendar.check(job.created_at)
    assert calendar.now() is None
    house.clock.pass_days(1.1)
    assert calendar.now() == house.clock.now
