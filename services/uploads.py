"""Uploads of users: stored within their owner's limit, listed, deleted, and cleared away when nothing uses them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import audit
from files import FileStore, FileTooLarge, StoredFile, StoredFileNotFound
from jobs.errors import StorageFull, UploadNotFound
from jobs.models import Upload
from jobs.store import JobStore

logger = logging.getLogger(__name__)

UNUSED_SECONDS = 86_400.0
"""An upload that no job has named for so long is deleted."""
AT_A_TIME = 100


class Uploads:
    """The list is in the job store, the content in the file store. What is listed is complete."""

    def __init__(
        self,
        store: JobStore,
        files: FileStore,
        *,
        file_bytes: int,
        user_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """file_bytes: of one upload; user_bytes: of all that one user stores, artifacts included."""
        self._store = store
        self._files = files
        self._file_bytes = file_bytes
        self._user_bytes = user_bytes
        self._clock = clock

    async def save(self, *, name: str, mime: str, owner: str, source: Path | AsyncIterator[bytes]) -> StoredFile:
        """Raises `FileTooLarge` and `StorageFull`, while reading the source when that is possible."""
        left = self._user_bytes - await self._store.stored_bytes(owner)
        try:
            limit = max(0, min(self._file_bytes, left))
            stored = await self._files.save(name=name, mime=mime, owner=owner, source=source, limit_bytes=limit)
        except FileTooLarge:
            if left >= self._file_bytes:
                raise
            raise StorageFull(self._user_bytes) from None
        try:
            await self._store.add_upload(listed(stored, self._clock()))
        except StorageFull:  # another upload came first
            await self._store.forget_uploads([stored.id])  # a start may have listed it
            await self._files.delete(stored.id)
            raise
        return stored

    async def find(self, owner: str, *, limit: int, before: str | None) -> list[Upload]:
        """Returns the owner's uploads, newest first; `before` is the id of one: only older ones."""
        return await self._store.uploads(owner, limit=limit, before=before)

    async def delete(self, file_id: str, owner: str) -> None:
        """Raises `StoredFileNotFound`, and `JobConflict` while a job that has not ended uses it."""
        try:
            await self._store.remove_upload(file_id, owner)
        except UploadNotFound:
            raise StoredFileNotFound(file_id) from None
        await self._files.delete(file_id)
        audit.record("file deleted", file=file_id, owner=owner)

    async def clear_unused(self, now: float) -> None:
        """Delete uploads that no job has named for a day."""
        while unused := await self._store.unused_uploads(now - UNUSED_SECONDS, AT_A_TIME):
            # The list may lack jobs that a process of an earlier version has submitted: look into all of them.
            really = [upload.id for upload in unused if await self._store.unused_files(upload.owner, [upload.id])]
            for file_id in await self._store.strike_unused_uploads(really) if really else []:
                await self._files.delete(file_id)
                logger.info("unused upload deleted", extra={"fields": {"file": file_id}})
            if len(really) < len(unused):  # used by jobs that the list lacks: not asked about again in this round
                return

    async def list_earlier(self) -> None:
        """List what earlier versions stored, and what a killed process could not list.

        Their age counts from now, so that an update deletes nothing at once.
        """
        for ids in await asyncio.to_thread(lambda: list(self._files.ids(AT_A_TIME))):
            for file_id in await self._store.unlisted_uploads(ids):
                try:
                    stored = await self._files.get(file_id)
                except StoredFileNotFound:
                    continue
                await self._store.add_upload(listed(stored, self._clock()), limited=False)


def listed(stored: StoredFile, at: float) -> Upload:
    return Upload(id=stored.id, owner=stored.owner, name=stored.name, mime=stored.mime, size=stored.size, created_at=at)
