"""The file store: streamed, owned, bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from files import DirectoryFileStore, FileTooLarge, StoredFileNotFound
from files.store import safe_name

ROOT_ID = "job_" + "a" * 24


@pytest.fixture
def store(tmp_path: Path) -> DirectoryFileStore:
    return DirectoryFileStore(tmp_path)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def upload(store: DirectoryFileStore, *parts: bytes, limit: int = 1000) -> str:
    stored = await store.save(name="a.txt", mime="text/plain", owner="ada", source=chunks(*parts), limit_bytes=limit)
    return stored.id


async def test_an_upload_is_kept_as_it_came(store: DirectoryFileStore) -> None:
    file_id = await upload(store, b"one ", b"two")
    stored = await store.get(file_id, "ada")
    assert (stored.name, stored.mime, stored.size) == ("a.txt", "text/plain", 7)
    assert store.path(file_id).read_bytes() == b"one two"


async def test_another_owners_file_is_not_found(store: DirectoryFileStore) -> None:
    file_id = await upload(store, b"x")
    with pytest.raises(StoredFileNotFound):
        await store.get(file_id, "bob")


async def test_a_file_over_the_limit_is_refused_while_it_comes_and_leaves_nothing(
    store: DirectoryFileStore, tmp_path: Path
) -> None:
    with pytest.raises(FileTooLarge):
        await upload(store, b"x" * 600, b"x" * 600)
    assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize("file_id", ["", "..", "../../etc/passwd", "file_../x", "file_" + "g" * 24, "\x00", "file_\n"])
async def test_what_is_no_file_id_is_not_found(store: DirectoryFileStore, file_id: str) -> None:
    with pytest.raises(StoredFileNotFound):
        await store.get(file_id)
    await store.delete(file_id)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\report.pdf", "report.pdf"),
        ("..", "file"),
        ("", "file"),
        (".bashrc", "bashrc"),
        ("a\x00b\n.txt", "ab.txt"),
        ("x" * 500 + ".csv", "x" * 196 + ".csv"),
        ("報" * 124 + ".csv", "報" * 65 + ".csv"),
    ],
)
def test_a_name_is_made_harmless(name: str, safe: str) -> None:
    assert safe_name(name) == safe


async def test_an_artifact_is_replaced_whole(store: DirectoryFileStore, tmp_path: Path) -> None:
    source = tmp_path / "made"
    source.write_bytes(b"second")
    await store.save_artifact(ROOT_ID, name="../a.csv", mime="text/csv", source=b"first")
    again = await store.save_artifact(ROOT_ID, name="a.csv", mime="text/csv", source=source)
    assert (again.name, again.size) == ("a.csv", 6)
    path = store.artifact_path(ROOT_ID, "a.csv")
    assert path.read_bytes() == b"second"
    assert [one.name for one in path.parent.iterdir()] == ["a.csv"]
    await store.delete_artifacts(ROOT_ID)
    with pytest.raises(StoredFileNotFound):
        store.artifact_path(ROOT_ID, "a.csv")


async def test_a_writer_that_is_refused_at_the_fence_replaces_no_artifact(store: DirectoryFileStore) -> None:
    async def refuse() -> None:
        raise PermissionError

    await store.save_artifact(ROOT_ID, name="a.csv", mime="text/csv", source=b"first")
    with pytest.raises(PermissionError):
        await store.save_artifact(ROOT_ID, name="a.csv", mime="text/csv", source=b"second", fence=refuse)
    path = store.artifact_path(ROOT_ID, "a.csv")
    assert path.read_bytes() == b"first"
    assert [one.name for one in path.parent.iterdir()] == ["a.csv"]


async def test_the_storage_of_a_thread_is_its_own_and_goes_with_it(store: DirectoryFileStore) -> None:
    mine, other = store.storage("../thread"), store.storage("another")
    for folder in (mine, other):
        folder.mkdir(parents=True)
    (mine / "index.db").write_bytes(b"x")
    assert mine.parent == other.parent
    assert (store.storage("../thread") / "index.db").is_file()
    await store.delete_storage("../thread")
    assert not mine.exists()
    assert other.is_dir()
