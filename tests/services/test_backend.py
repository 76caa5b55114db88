"""What one process opens, and what two of them share."""

from __future__ import annotations

from pathlib import Path

from jobs.events import JobCompleted
from services.backend import open_backend
from settings import Settings
from tests.jobs.engine import chat, write


async def test_two_processes_of_one_data_dir_share_jobs_workers_and_files(tmp_path: Path) -> None:
    settings = Settings(LONGHAUL_DATA_DIR=tmp_path)
    async with open_backend(settings) as web, open_backend(settings) as worker:
        async with worker.dispatcher(tasks=["chat"], catalogue=[]) as dispatcher:
            assert [one.id for one in web.liveness.alive(await web.store.workers())] == [dispatcher.worker_id]
            job = await web.store.submit(chat())
            taken = await dispatcher.take(frozenset())
            assert taken is not None
            assert taken.id == job.id
            await write(worker.store, job.id, JobCompleted(result="done", usage=None))
        assert (await web.store.get(job.id)).ended
        stored = await web.files.save(
            name="a.txt", mime="text/plain", owner="ada", source=Path(__file__), limit_bytes=10**6
        )
        assert await worker.files.get(stored.id, "ada") == stored
