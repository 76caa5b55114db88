"""The file store: streamed, owned, bounded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from files import DirectoryFileStore, FileTooLarge, StoredArtifact, StoredFileNotFound
from files.errors import WriterStale
from files.store import WRITER_FILE, Writer, safe_name

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


async def test_a_writer_that_is_refused_replaces_no_artifact(store: DirectoryFileStore) -> None:
    async def refuse(_: StoredArtifact) -> None:
        raise PermissionError

    await store.save_artifact(ROOT_ID, name="a.csv", mime="text/csv", source=b"first")
    with pytest.raises(PermissionError):
        await store.save_artifact(ROOT_ID, name="a.csv", mime="text/csv", source=b"second", admit=refuse)
    path = store.artifact_path(ROOT_ID, "a.csv")
    assert path.read_bytes() == b"first"
    assert [one.name for one in path.parent.iterdir()] == ["a.csv"]


async def test_a_writer_that_was_admitted_and_stood_still_replaces_no_artifact_of_a_later_one(
    store: DirectoryFileStore,
) -> None:
    first, second, retry = (1, 1), (1, 2), (2, 1)

    async def taken_over(_: StoredArtifact) -> None:
        """The first writer is admitted; then it stands still."""
        await store.begin_artifacts(ROOT_ID, second)

    with pytest.raises(WriterStale):
        await save(store, b"of the first", first, admit=taken_over)
    with pytest.raises(StoredFileNotFound):
        store.artifact_path(ROOT_ID, "a.csv")
    for writer in (second, retry):
        await save(store, b"of a later one", writer)
        with pytest.raises(WriterStale):
            await save(store, b"of the first", first)
    assert store.artifact_path(ROOT_ID, "a.csv").read_bytes() == b"of a later one"


async def test_a_damaged_record_of_the_writer_keeps_nobody_from_writing(store: DirectoryFileStore) -> None:
    await save(store, b"first", (1, 1))
    store.artifact_path(ROOT_ID, "a.csv").with_name(WRITER_FILE).write_text("{")
    await save(store, b"second", (1, 1))
    assert store.artifact_path(ROOT_ID, "a.csv").read_bytes() == b"second"


async def save(
    store: DirectoryFileStore,
    content: bytes,
    writer: Writer,
    admit: Callable[[StoredArtifact], Awaitable[None]] | None = None,
) -> None:
    await store.save_artifact(ROOT_ID, name="a.csv", mime="text/csv", source=content, writer=writer, admit=admit)


async def test_the_storage_of_a_thread_is_its_own_and_goes_with_it(store: DirectoryFileStore) -> None:
    mine, other = store.storage("ada", "thread", "../thread"), store.storage("ada", "thread", "another")
    for folder in (mine, other):
        folder.mkdir(parents=True)
    (mine / "index.db").write_bytes(b"x")
    assert mine.parent == other.parent
    assert (store.storage("ada", "thread", "../thread") / "index.db").is_file()
    await store.delete_storage("ada", "thread", "../thread")
    assert not mine.exists()
    assert other.is_dir()


def test_nobody_has_the_storage_of_another_by_any_name(store: DirectoryFileStore) -> None:
    names = [("ada", "job"), ("ada", "thread"), ("bob", "job"), ("bob", "thread")]
    assert len({store.storage(owner, kind, ROOT_ID) for owner, kind in names}) == len(names)  # type: ignore[arg-type]


def earlier_storage(directory: Path, id: str) -> Path:
    """As the first versions kept it, with something in it."""
    folder = directory / "storage" / hashlib.sha256(id.encode()).hexdigest()[:32]
    folder.mkdir(parents=True)
    (folder / "index.db").write_bytes(b"of the first version")
    return folder


async def test_what_the_first_versions_stored_for_a_thread_is_its_owners_and_goes_with_the_thread(
    store: DirectoryFileStore, tmp_path: Path
) -> None:
    earlier_storage(tmp_path, "t")
    for _ in range(2):
        assert (store.storage("ada", "thread", "t") / "index.db").read_bytes() == b"of the first version"
    assert not (store.storage("bob", "thread", "t")).exists()
    untouched = earlier_storage(tmp_path, "another")
    await store.delete_storage("ada", "thread", "t")
    await store.delete_storage("ada", "thread", "another")
    assert not store.storage("ada", "thread", "t").exists()
    assert not untouched.exists()


async def test_what_the_first_versions_stored_for_a_job_is_no_threads_of_its_name(
    store: DirectoryFileStore, tmp_path: Path
) -> None:
    earlier_storage(tmp_path, ROOT_ID)
    assert not store.storage("bob", "thread", ROOT_ID).exists()
    await store.delete_storage("bob", "thread", ROOT_ID)
    assert (store.storage("ada", "job", ROOT_ID) / "index.db").is_file()


async def test_a_copy_of_a_storage_holds_its_files_and_goes_with_the_thread(store: DirectoryFileStore) -> None:
    first = store.storage("ada", "thread", "t")
    (first / "folder").mkdir(parents=True)
    (first / "folder" / "file").write_bytes(b"x")
    (first / "link").symlink_to("folder/file")
    os.mkfifo(first / "pipe")
    copy = await store.copy_storage("ada", "thread", "t", "")
    assert copy.whole
    folder = store.storage("ada", "thread", "t", copy.name)
    assert (folder / "link").read_bytes() == b"x"
    assert not (folder / "pipe").exists()
    await store.delete_storage("ada", "thread", "t")
    assert not folder.exists()


async def test_a_copy_of_a_storage_in_which_files_come_and_go_holds_those_that_stay(store: DirectoryFileStore) -> None:
    folder = store.storage("ada", "job", ROOT_ID)
    folder.mkdir(parents=True)
    (folder / "stays").write_bytes(b"x")
    (folder / "gone").mkdir(mode=0)
    (folder / "gone").chmod(0)
    copy = await store.copy_storage("ada", "job", ROOT_ID, "")
    assert (store.storage("ada", "job", ROOT_ID, copy.name) / "stays").read_bytes() == b"x"
    assert copy.whole == (os.geteuid() == 0), "what could not be read is told, so that the original is kept"


GOOD = {"id": "", "name": "a.txt", "mime": "text/plain", "size": 1, "owner": "ada"}
"""With the id of the file it is a record."""


@pytest.mark.parametrize(
    "record",
    [b"", b"{", b"\0" * 90, b"\xff", b"[]", b"null", b'{"id": "x"}', b"[" * 100_000, json.dumps(GOOD).encode()],
    ids=["empty", "cut off", "NULs", "no text", "a list", "null", "fields missing", "nested", "another file's"],
)
async def test_a_file_whose_record_cannot_be_read_is_not_found_and_the_log_says_why(
    store: DirectoryFileStore, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file_id = await upload(store, b"x")
    store.path(file_id).with_name("about.json").write_bytes(record)
    with pytest.raises(StoredFileNotFound, match="There is no file"):
        await store.get(file_id)
    assert [record.__dict__["fields"]["file"] for record in caplog.records] == [file_id]


@pytest.mark.parametrize("field", ["name", "mime", "size", "owner"])
async def test_a_record_with_something_else_in_a_field_is_no_record(store: DirectoryFileStore, field: str) -> None:
    file_id = await upload(store, b"x")
    record = {**GOOD, "id": file_id}
    about = store.path(file_id).with_name("about.json")
    about.write_text(json.dumps(record))
    assert (await store.get(file_id)).name == "a.txt"
    about.write_text(json.dumps({**record, field: None}))
    with pytest.raises(StoredFileNotFound):
        await store.get(file_id)


async def test_a_file_whose_content_is_gone_is_not_found(store: DirectoryFileStore) -> None:
    file_id = await upload(store, b"x")
    store.path(file_id).unlink()
    with pytest.raises(StoredFileNotFound):
        await store.get(file_id)
