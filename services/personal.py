"""All that is stored of one user: written to an archive, or erased."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from files import FileStore, StoredFileNotFound, safe_name
from jobs import Job, JobClient, JobConflict, JobFilter, JobNotFound, Thread, ThreadNotFound
from jobs.models import Upload
from jobs.store import JobStore
from services.housekeeping import Housekeeping

AT_A_TIME = 100
EVENTS_AT_A_TIME = 2_000
STOP_SECONDS = 30.0
"""How long an erasure waits for the user's running jobs to end."""


class StillRunning(Exception):
    """A job of the user did not end in time; what else was to be erased is gone."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"Job {job_id} did not end within {STOP_SECONDS:g} s: start the server, which ends it, and run this again."
        )


class PersonalData:
    """The data of one user in the stores of jobs and files. A server may run at the same time."""

    def __init__(
        self, user: str, store: JobStore, jobs: JobClient, files: FileStore, housekeeping: Housekeeping
    ) -> None:
        self._user = user
        self._store = store
        self._jobs = jobs
        self._files = files
        self._housekeeping = housekeeping

    async def export(self, archive: zipfile.ZipFile) -> int:
        """Write threads, jobs with their events, uploads and artifacts. Returns the number of jobs.

        `threads.json`, `files.json`, `jobs/ID.json` (the request and the events), `files/ID/NAME`, `artifacts/ID/NAME`.
        """
        write(archive, "threads.json", [asdict(thread) async for thread in self.threads()])
        uploads = [upload async for upload in self._uploads()]
        write(archive, "files.json", [asdict(upload) for upload in uploads])
        for upload in uploads:
            await _copy(archive, self._files.path(upload.id), f"files/{upload.id}/{safe_name(upload.name)}")
        jobs = [job async for job in self._all_jobs()]
        made: set[tuple[str, str]] = set()
        for job in jobs:
            events = [event async for event in self._events(job)]
            write(archive, f"jobs/{job.id}.json", {**asdict(job), "events": events})
            made |= {(job.root_id, str(event["name"])) for event in events if event["type"] == "artifact"}
        for root_id, name in sorted(made):
            with contextlib.suppress(StoredFileNotFound):
                await _copy(archive, self._files.artifact_path(root_id, name), f"artifacts/{root_id}/{safe_name(name)}")
        return len(jobs)

    async def erase(self) -> int:
        """Delete it all. Returns the number of jobs. Raises `StillRunning`."""
        jobs = [job async for job in self._all_jobs()]
        async for thread in self.threads():
            try:
                await self._store.delete_thread(thread.id, self._user)
            except ThreadNotFound:  # its owner was first
                continue
        running: list[StillRunning] = []
        for job in jobs:
            try:
                await self._erase_job(job)
            except StillRunning as problem:
                running.append(problem)
        await self._housekeeping.clear_deleted()
        async for upload in self._uploads():
            await self._files.delete(upload.id)
            await self._store.forget_uploads([upload.id])
        if running:
            raise running[0]
        return len(jobs)

    async def threads(self) -> AsyncIterator[Thread]:
        before: str | None = None
        while page := await self._store.threads(self._user, search=None, limit=AT_A_TIME, before=before):
            for thread in page:
                yield thread
            before = page[-1].cursor

    async def _all_jobs(self) -> AsyncIterator[Job]:
        before: str | None = None
        while page := await self._store.jobs(JobFilter(user=self._user, limit=AT_A_TIME, before=before)):
            for job in page:
                yield job
            before = page[-1].id

    async def _uploads(self) -> AsyncIterator[Upload]:
        before: str | None = None
        while page := await self._store.uploads(self._user, limit=AT_A_TIME, before=before):
            for upload in page:
                yield upload
            before = page[-1].id

    async def _events(self, job: Job) -> AsyncIterator[dict[str, Any]]:
        seq = 0
        while page := await self._store.read(job.id, seq, EVENTS_AT_A_TIME):
            for event in page:
                yield {"seq": event.seq, "type": event.type, "at": event.at, **json.loads(event.data)}
            seq = page[-1].seq

    async def _erase_job(self, job: Job) -> None:
        try:
            await self._store.request_cancel(job.id, self._user)
            await self._ended(job)
            if job.thread_id is None:
                await self._housekeeping.remove_job(job.id, self._user)
        except (JobNotFound, JobConflict):  # it was already deleted
            return

    async def _ended(self, job: Job) -> None:
        """Raises `StillRunning`, `JobNotFound`."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                async for _ in self._jobs.follow(job.id, self._user, job.last_seq):
                    pass
        except TimeoutError:
            raise StillRunning(job.id) from None


def write(archive: zipfile.ZipFile, name: str, value: object) -> None:
    """Add a file of JSON."""
    archive.writestr(name, json.dumps(value, ensure_ascii=False, indent=1, default=str).encode("utf-8", "replace"))


async def _copy(archive: zipfile.ZipFile, source: Path, name: str) -> None:
    try:
        await asyncio.to_thread(archive.write, source, name)
    except FileNotFoundError:  # deleted meanwhile
        return
