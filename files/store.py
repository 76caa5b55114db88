"""Files in a directory: one folder for each upload, one for the artifacts of each job and its retries."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import itertools
import json
import logging
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from files.durable import beside, flush, make_folder, put_in_place
from files.errors import FileTooLarge, StoredFileNotFound, WriterStale, full_disk_told

logger = logging.getLogger(__name__)

FILE_ID = re.compile(r"file_[0-9a-f]{24}")
ROOT_ID = re.compile(r"job_[0-9a-f]{24}")
NAME_BYTES = 200
RECORD_BYTES = 64
LOCK_SECONDS = 10.0
COPY_TRIES = 3
"""While another process writes into a folder, listed files may disappear before they are read."""

WRITER_FILE = ".writer"
"""Beside the artifacts, whose names never begin with a dot."""
Writer = tuple[int, int]
"""The writer of artifacts: the number of the job, and the epoch. The greater value is later."""

StorageOf = Literal["thread", "job"]


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that a user uploaded."""

    id: str
    name: str
    mime: str
    size: int
    """Bytes."""
    owner: str


@dataclass(frozen=True, kw_only=True)
class StoredArtifact:
    """A file that a job made."""

    name: str
    mime: str
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class StorageCopy:
    """A copy of a directory in which tools keep data."""

    name: str
    whole: bool
    """Everything could be read."""


class FileStore(Protocol):
    """Stores uploads, artifacts and the working directories of tools."""

    async def save(
        self, *, name: str, mime: str, owner: str, source: Path | AsyncIterator[bytes], limit_bytes: int
    ) -> StoredFile:
        """Stores an upload. Raises `FileTooLarge` or `NoSpace` while reading the source, and leaves nothing behind."""

    async def get(self, file_id: str, owner: str | None = None) -> StoredFile:
        """Raises `StoredFileNotFound` for a missing or damaged file, and for one that belongs to another owner."""

    def path(self, file_id: str) -> Path:
        """Returns the content's path on this machine. Raises `StoredFileNotFound` when `file_id` is not a file id."""

    async def delete(self, file_id: str) -> None:
        """Deletes the file; does nothing when there is none."""

    def ids(self, count: int) -> Iterator[list[str]]:
        """Yields the ids of all uploads, at most so many at a time. Blocks: call it in a thread."""

    async def save_artifact(
        self,
        root_id: str,
        *,
        name: str,
        mime: str,
        source: Path | bytes,
        admit: Callable[[StoredArtifact], Awaitable[None]] | None = None,
        writer: Writer | None = None,
    ) -> StoredArtifact:
        """Stores an artifact under the root job, so that its retries share it. Replaces an artifact of the same name.

        `admit` is awaited before the copy becomes visible. It raises when the writer has lost the job, or the user has
        no room for the artifact: then nothing is stored. Raises `NoSpace`, and `WriterStale` when a later writer has
        begun: one that was admitted and then stood still replaces nothing.
        """

    async def begin_artifacts(self, root_id: str, writer: Writer) -> None:
        """Refuses earlier writers from now on. Raises `WriterStale` when a later one has started, and `NoSpace`."""

    def artifact_path(self, root_id: str, name: str) -> Path:
        """Returns the artifact's path on this machine. Raises `StoredFileNotFound` when there is none."""

    async def delete_artifacts(self, root_id: str) -> None: ...

    def storage(self, owner: str, kind: StorageOf, id: str, name: str = "") -> Path:
        """Returns the directory in which tools keep data between calls: of a thread, or of a job without a thread.

        `name`: as `copy_storage` returned it; empty for the first directory. It need not exist; the first tool that
        writes to it makes it. The caller has checked that the thread or job belongs to the owner.
        """

    async def copy_storage(self, owner: str, kind: StorageOf, id: str, name: str) -> StorageCopy:
        """Copies the directory while another process may write into it. Raises `NoSpace`, and leaves nothing behind."""

    async def drop_storage(self, owner: str, kind: StorageOf, id: str, name: str) -> None:
        """Deletes the directory of this name; does nothing when there is none."""

    async def delete_storage(self, owner: str, kind: StorageOf, id: str) -> None:
        """Deletes the directory and its copies; does nothing when there are none."""


class DirectoryFileStore:
    """`FileStore` in a directory of this machine."""

    def __init__(self, directory: Path) -> None:
        self._uploads = directory / "uploads"
        self._artifacts = directory / "artifacts"
        self._storage = directory / "storage"

    async def save(
        self, *, name: str, mime: str, owner: str, source: Path | AsyncIterator[bytes], limit_bytes: int
    ) -> StoredFile:
        file_id = f"file_{secrets.token_hex(12)}"
        draft = beside(self._uploads / file_id)
        try:
            with full_disk_told():
                await asyncio.to_thread(make_folder, self._uploads)
                draft.mkdir(mode=0o700)
                size = await _write(draft / "content", source, limit_bytes)
                stored = StoredFile(id=file_id, name=safe_name(name), mime=mime, size=size, owner=owner)
                await asyncio.to_thread(_complete, draft, self._uploads / file_id, stored)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return stored

    async def get(self, file_id: str, owner: str | None = None) -> StoredFile:
        stored = await asyncio.to_thread(_stored, file_id, self.path(file_id))
        if stored is None or (owner is not None and stored.owner != owner):
            raise StoredFileNotFound(file_id)
        return stored

    def path(self, file_id: str) -> Path:
        if not FILE_ID.fullmatch(file_id):
            raise StoredFileNotFound(file_id)
        return self._uploads / file_id / "content"

    def ids(self, count: int) -> Iterator[list[str]]:
        if not self._uploads.is_dir():
            return
        names = (entry.name for entry in os.scandir(self._uploads) if FILE_ID.fullmatch(entry.name))
        while batch := list(itertools.islice(names, count)):
            yield batch

    async def delete(self, file_id: str) -> None:
        if FILE_ID.fullmatch(file_id):
            await asyncio.to_thread(shutil.rmtree, self.path(file_id).parent, ignore_errors=True)

    async def save_artifact(
        self,
        root_id: str,
        *,
        name: str,
        mime: str,
        source: Path | bytes,
        admit: Callable[[StoredArtifact], Awaitable[None]] | None = None,
        writer: Writer | None = None,
    ) -> StoredArtifact:
        target = self._artifact_folder(root_id) / safe_name(name)
        draft = beside(target)
        try:
            with full_disk_told():
                await asyncio.to_thread(make_folder, target.parent)
                size = await asyncio.to_thread(_fill, draft, source)
                await asyncio.to_thread(flush, draft)
            stored = StoredArtifact(name=target.name, mime=mime, size=size)
            if admit is not None:
                await admit(stored)
            with full_disk_told():
                await asyncio.to_thread(_show, draft, target, writer)
            await asyncio.to_thread(flush, target.parent)
        finally:
            draft.unlink(missing_ok=True)
        return stored

    async def begin_artifacts(self, root_id: str, writer: Writer) -> None:
        folder = self._artifact_folder(root_id)

        def begin() -> None:
            with full_disk_told():
                make_folder(folder)
                with _newest_writer(folder, writer):
                    pass

        await asyncio.to_thread(begin)

    def artifact_path(self, root_id: str, name: str) -> Path:
        path = self._artifact_folder(root_id) / safe_name(name)
        if not path.is_file():
            raise StoredFileNotFound(name)
        return path

    async def delete_artifacts(self, root_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._artifact_folder(root_id), ignore_errors=True)

    def storage(self, owner: str, kind: StorageOf, id: str, name: str = "") -> Path:
        if name:
            return self._copies(owner, kind, id) / name
        # The name is a digest because a thread's id and a user's name come from outside and may hold any characters.
        folder = self._storage / f"{kind}s" / _digest(json.dumps([owner, id]))
        earlier = self._earlier_storage(kind, id)
        if earlier is not None and earlier.is_dir() and not folder.exists():
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(OSError):  # another call has moved it already
                earlier.rename(folder)
        return folder

    async def delete_storage(self, owner: str, kind: StorageOf, id: str) -> None:
        for folder in (self.storage(owner, kind, id), self._copies(owner, kind, id), self._earlier_storage(kind, id)):
            if folder is not None:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def copy_storage(self, owner: str, kind: StorageOf, id: str, name: str) -> StorageCopy:
        source = self.storage(owner, kind, id, name)
        target = self._copies(owner, kind, id) / secrets.token_hex(8)
        try:
            whole = await asyncio.to_thread(_copy_folder, source, target)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
            raise
        return StorageCopy(name=target.name, whole=whole)

    async def drop_storage(self, owner: str, kind: StorageOf, id: str, name: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self.storage(owner, kind, id, name), ignore_errors=True)

    def _copies(self, owner: str, kind: StorageOf, id: str) -> Path:
        return self._storage / f"{kind}s-copies" / _digest(json.dumps([owner, id]))

    def _earlier_storage(self, kind: StorageOf, id: str) -> Path | None:
        """Returns the directory that the first versions used; None for a thread with an id like a job's or a file's."""
        if kind == "thread" and id.startswith(("job_", "file_")):
            return None
        return self._storage / _digest(id)

    def _artifact_folder(self, root_id: str) -> Path:
        if not ROOT_ID.fullmatch(root_id):
            raise StoredFileNotFound(root_id)
        return self._artifacts / root_id


def safe_name(name: str) -> str:
    """Returns the last part of a path, without control characters; never empty, never hidden, of bounded length."""
    last = PurePosixPath(name.replace("\\", "/")).name
    printable = "".join(character for character in last if character.isprintable()).strip().lstrip(".")
    stem, dot, suffix = printable.rpartition(".")
    if dot and stem and len(suffix) < 20:
        return f"{_cut(stem, NAME_BYTES - len(suffix.encode()) - 1)}.{suffix}"
    return _cut(printable, NAME_BYTES) or "file"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _cut(text: str, size: int) -> str:
    """Cuts the text to at most `size` bytes of UTF-8, between characters."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")


def _complete(draft: Path, folder: Path, stored: StoredFile) -> None:
    """Writes the record beside the content and moves both into place, so that a file is either whole or absent."""
    (draft / "about.json").write_text(json.dumps(asdict(stored)))
    for part in draft.iterdir():
        flush(part)
    put_in_place(draft, folder)


def _stored(file_id: str, content: Path) -> StoredFile | None:
    """Returns None for a missing or damaged file: a thread that refers to it must still work."""
    try:
        stored = _record(file_id, content.with_name("about.json").read_text())
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        fields = {"file": file_id, "error": type(error).__name__}
        logger.warning("record of a file not readable; treated as missing", extra={"fields": fields})
        return None
    return stored if content.is_file() else None


def _record(file_id: str, text: str) -> StoredFile:
    """Raises `ValueError` or `TypeError` when the text is not the record of this file."""
    stored = StoredFile(**json.loads(text))
    texts = all(isinstance(value, str) for value in (stored.name, stored.mime, stored.owner))
    if stored.id != file_id or not texts or not isinstance(stored.size, int):
        raise ValueError(text[:200])
    return stored


async def _write(target: Path, source: Path | AsyncIterator[bytes], limit_bytes: int) -> int:
    if isinstance(source, Path):
        return await asyncio.to_thread(_copy, target, source, limit_bytes)
    size = 0
    with target.open("wb") as out:
        async for chunk in source:
            size += len(chunk)
            if size > limit_bytes:
                raise FileTooLarge(limit_bytes)
            await asyncio.to_thread(out.write, chunk)
    return size


def _copy(target: Path, source: Path, limit_bytes: int) -> int:
    if source.stat().st_size > limit_bytes:
        raise FileTooLarge(limit_bytes)
    return _fill(target, source)


def _show(draft: Path, target: Path, writer: Writer | None) -> None:
    with contextlib.nullcontext() if writer is None else _newest_writer(target.parent, writer):
        draft.replace(target)


@contextlib.contextmanager
def _newest_writer(folder: Path, writer: Writer) -> Iterator[None]:
    """While it is open, no other writer can write. Raises `WriterStale` when the folder has had a later writer."""
    with (folder / WRITER_FILE).open("a+b") as record:
        _lock(record.fileno())
        known = os.pread(record.fileno(), RECORD_BYTES, 0)
        with contextlib.suppress(ValueError, TypeError):  # empty, or damaged by a crash of the machine
            if tuple(json.loads(known)) > writer:
                raise WriterStale
        if (content := json.dumps(writer).encode().ljust(RECORD_BYTES)) != known:
            with (folder / WRITER_FILE).open("r+b") as target:  # in place: a full disk must not leave it empty
                target.write(content)
        yield


def _lock(descriptor: int) -> None:
    """Raises `TimeoutError` when another writer stands still while it holds the lock."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError from None
        time.sleep(LOCK_SECONDS / 1000)


def _copy_folder(source: Path, target: Path) -> bool:
    """Returns whether everything could be read. Files that vanish belong to a writer that has lost the job."""
    with full_disk_told():
        make_folder(target.parent)
        target.mkdir(mode=0o700)
        for _ in range(COPY_TRIES):
            if not source.is_dir():
                return True
            with contextlib.suppress(shutil.Error):
                shutil.copytree(source, target, symlinks=True, copy_function=_copy_kept, dirs_exist_ok=True)
                return True
    logger.warning("a tool's files could not all be read after a takeover", extra={"fields": {"copy": target.name}})
    return False


def _copy_kept(source: str, target: str) -> None:
    """Copies a file of a tool. Raises `NoSpace`, which ends the copying of all others, too."""
    if stat.S_ISREG(os.lstat(source).st_mode):  # a pipe would be waited for
        with full_disk_told():
            shutil.copy2(source, target)
            flush(Path(target))


def _fill(target: Path, source: Path | bytes) -> int:
    """Returns the number of bytes written."""
    if isinstance(source, bytes):
        target.write_bytes(source)
    else:
        shutil.copyfile(source, target)
    return target.stat().st_size
