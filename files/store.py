"""Files in a directory: one folder for each upload, one for the artifacts of each job and its retries."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from files.errors import FileTooLarge, StoredFileNotFound

FILE_ID = re.compile(r"file_[0-9a-f]{24}")
ROOT_ID = re.compile(r"job_[0-9a-f]{24}")
NAME_BYTES = 200


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """An upload."""

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


class FileStore(Protocol):
    """Where uploads and artifacts live."""

    async def save(
        self, *, name: str, mime: str, owner: str, source: Path | AsyncIterator[bytes], limit_bytes: int
    ) -> StoredFile:
        """Store an upload. Raises `FileTooLarge` while reading; nothing is left behind then."""

    async def get(self, file_id: str, owner: str | None = None) -> StoredFile:
        """Raises `StoredFileNotFound`, also for another owner's file when an owner is named."""

    def path(self, file_id: str) -> Path:
        """Where the content can be read on this machine. Raises `StoredFileNotFound` for what is no file id."""

    async def delete(self, file_id: str) -> None:
        """Harmless when it is gone already, or never was a file."""

    async def save_artifact(
        self,
        root_id: str,
        *,
        name: str,
        mime: str,
        source: Path | bytes,
        fence: Callable[[], Awaitable[None]] | None = None,
    ) -> StoredArtifact:
        """Store under the first job of a chain of retries, which share their artifacts. The same name replaces.

        `fence` is awaited before the copy takes its place: it raises for a writer that may not write any more.
        """

    def artifact_path(self, root_id: str, name: str) -> Path:
        """Raises `StoredFileNotFound`."""

    async def delete_artifacts(self, root_id: str) -> None: ...

    def storage(self, owner_id: str) -> Path:
        """A directory of a thread, or of a job that has none, for what its tools keep between calls.

        It need not exist: whoever first keeps something there makes it.
        """

    async def delete_storage(self, owner_id: str) -> None:
        """Harmless when there is none."""


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
        folder = self._uploads / file_id
        folder.mkdir(mode=0o700, parents=True)
        try:
            size = await _write(folder / "content", source, limit_bytes)
            stored = StoredFile(id=file_id, name=safe_name(name), mime=mime, size=size, owner=owner)
            (folder / "about.json").write_text(json.dumps(asdict(stored)))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return stored

    async def get(self, file_id: str, owner: str | None = None) -> StoredFile:
        about = self.path(file_id).with_name("about.json")
        try:
            stored = StoredFile(**json.loads(await asyncio.to_thread(about.read_text)))
        except FileNotFoundError:
            raise StoredFileNotFound(file_id) from None
        if owner is not None and stored.owner != owner:
            raise StoredFileNotFound(file_id)
        return stored

    def path(self, file_id: str) -> Path:
        if not FILE_ID.fullmatch(file_id):
            raise StoredFileNotFound(file_id)
        return self._uploads / file_id / "content"

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
        fence: Callable[[], Awaitable[None]] | None = None,
    ) -> StoredArtifact:
        folder = self._artifact_folder(root_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder / safe_name(name)
        draft = target.with_name(f".{secrets.token_hex(8)}")
        try:
            size = await asyncio.to_thread(_fill, draft, source)
            if fence is not None:
                await fence()
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return StoredArtifact(name=target.name, mime=mime, size=size)

    def artifact_path(self, root_id: str, name: str) -> Path:
        path = self._artifact_folder(root_id) / safe_name(name)
        if not path.is_file():
            raise StoredFileNotFound(name)
        return path

    async def delete_artifacts(self, root_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._artifact_folder(root_id), ignore_errors=True)

    def storage(self, owner_id: str) -> Path:
        # Named by a digest: a thread's id comes from outside.
        return self._storage / hashlib.sha256(owner_id.encode()).hexdigest()[:32]

    async def delete_storage(self, owner_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self.storage(owner_id), ignore_errors=True)

    def _artifact_folder(self, root_id: str) -> Path:
        if not ROOT_ID.fullmatch(root_id):
            raise StoredFileNotFound(root_id)
        return self._artifacts / root_id


def safe_name(name: str) -> str:
    """The last part of a name, without control characters; never empty, never hidden, of bounded length."""
    last = PurePosixPath(name.replace("\\", "/")).name
    printable = "".join(character for character in last if character.isprintable()).strip().lstrip(".")
    stem, dot, suffix = printable.rpartition(".")
    if dot and stem and len(suffix) < 20:
        return f"{_cut(stem, NAME_BYTES - len(suffix.encode()) - 1)}.{suffix}"
    return _cut(printable, NAME_BYTES) or "file"


def _cut(text: str, size: int) -> str:
    """At most so many bytes of UTF-8, whole characters."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")


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


def _fill(target: Path, source: Path | bytes) -> int:
    """Gives the bytes written."""
    if isinstance(source, bytes):
        target.write_bytes(source)
    else:
        shutil.copyfile(source, target)
    return target.stat().st_size
