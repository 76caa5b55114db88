"""What is kept survives a power cut: it is on the disk before it has its name, and so is the name before we go on."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts import auth_secret
from files import DirectoryFileStore

Deed = tuple[str, str]


class Disk:
    """Every flush and every rename of this process, in order, by the last part of the name. Each is really done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.deeds: list[Deed] = []
        self.threads: set[str] = set()
        self._flush: Callable[..., None] = os.fsync
        self._rename: Callable[..., None] = os.replace
        monkeypatch.setattr(os, "fsync", self._flushed)
        monkeypatch.setattr(os, "replace", self._renamed)

    def _flushed(self, descriptor: int) -> None:
        self._flush(descriptor)
        self.deeds.append(("flush", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        self.threads.add(threading.current_thread().name)

    def _renamed(self, source: Path, target: Path) -> None:
        self._rename(source, target)
        self.deeds.append((f"rename to {target.name}", source.name))

    def of(self, name: str) -> list[str]:
        return [deed for deed, what in self.deeds if what == name]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def last(disk: Disk, count: int) -> list[Deed]:
    return disk.deeds[-count:]


async def test_an_upload_is_on_the_disk_whole_before_it_has_its_id(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    store = DirectoryFileStore(tmp_path)
    stored = await store.save(name="a", mime="a/b", owner="ada", source=tmp_path / "source", limit_bytes=9)
    *parts, draft, rename, folder = last(disk, 5)
    assert sorted(parts) == [("flush", "about.json"), ("flush", "content")]
    assert (draft[0], rename) == ("flush", (f"rename to {stored.id}", draft[1]))
    assert folder == ("flush", "uploads")


async def test_an_artifact_is_on_the_disk_before_it_takes_the_others_place(disk: Disk, tmp_path: Path) -> None:
    store, root_id = DirectoryFileStore(tmp_path), "job_" + "a" * 24
    for content in (b"first", b"second"):
        await store.save_artifact(root_id, name="a.csv", mime="text/csv", source=content)
        draft, rename, folder = last(disk, 3)
        assert (draft[0], rename) == ("flush", ("rename to a.csv", draft[1]))
        assert folder == ("flush", root_id)
    assert disk.of("artifacts") == ["flush"], "the folder of the job is on the disk, too"


async def test_the_disk_is_never_waited_for_on_the_loop(disk: Disk, tmp_path: Path) -> None:
    await test_an_upload_is_on_the_disk_whole_before_it_has_its_id(disk, tmp_path)
    await test_an_artifact_is_on_the_disk_before_it_takes_the_others_place(disk, tmp_path)
    assert disk.threads
    assert threading.current_thread().name not in disk.threads


async def test_the_secret_is_on_the_disk_before_anything_is_signed(disk: Disk, tmp_path: Path) -> None:
    await asyncio.to_thread(auth_secret, tmp_path)
    draft, rename, folder = last(disk, 3)
    assert (draft[0], rename) == ("flush", ("rename to auth_secret", draft[1]))
    assert folder == ("flush", tmp_path.name)
