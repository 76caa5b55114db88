"""A copy of a data dir, made while the server runs, and the way back."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from files.durable import beside, make_folder, put_in_place
from jobs.local import is_free
from services.data_dir import DataDir

ABOUT = "backup.json"
"""The last file of a backup to be written."""
FORMAT = 1
EARLIER = "before-restore-"
"""The beginning of the folder that holds what a restore has replaced."""
MOMENTARY = frozenset({"workers", "wake", "scratch", "cluster"})
"""Entries of a data dir that are of use only to the processes that run now, or that are no part of it."""
DATABASES = frozenset({"jobs.db", "chat.db"})
AS_THEY_ARE = (("files", "uploads"), ("files", "artifacts"))
"""Folders whose files never change: an SQLite file in them is copied like any other."""
DRAFT = re.compile(r"\.[0-9a-f]{16}")
"""What `files.durable.beside` makes."""
SQLITE = b"SQLite format 3\0"
BESIDE_SQLITE = ("-wal", "-shm", "-journal")
BUSY_SECONDS = 60.0


class BackupRefused(Exception):
    """The message is a sentence for the user who called."""


@dataclass(frozen=True, kw_only=True)
class Backup:
    """The content of a backup."""

    jobs: int
    files: int
    bytes: int
    made_at: float
    """Unix seconds; the state of the databases is of this moment."""


def back_up(data: DataDir, folder: Path) -> Backup:
    """Copies the data dir to a new folder, which appears only when it is whole. Raises `BackupRefused`, `OSError`.

    Files are copied before the databases, so that one which is deleted meanwhile is there, and once more after them, so
    that all are there which the databases name.
    """
    _check_target(data, folder)
    make_folder(folder.parent)
    draft = beside(folder)
    draft.mkdir(mode=0o700)
    try:
        _copy_files(data.path, draft)
        made_at = time.time()
        for database in (data.jobs, data.chat):
            if database.exists():
                _copy_database(database, draft / database.name)
        jobs = _forget_workers(draft / data.jobs.name)
        _copy_files(data.path, draft)
        sizes = [entry.stat().st_size for entry in draft.rglob("*") if entry.is_file()]
        made = Backup(jobs=jobs, files=len(sizes), bytes=sum(sizes), made_at=made_at)
        (draft / ABOUT).write_text(json.dumps({"format": FORMAT, "made_at": made_at, "jobs": jobs}))
        os.sync()
        if folder.exists():
            folder.rmdir()
        put_in_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return made


def restore(folder: Path, data: DataDir, *, replace: bool) -> Path | None:
    """Copies a backup into the data dir. Returns the folder that now holds what was there before, if anything was.

    Raises `BackupRefused` for a folder that is no backup, for a data dir that a process uses, and without `replace` for
    one that is not empty; `OSError`.
    """
    _check_backup(folder)
    make_folder(data.path)
    if is_used(data):
        raise BackupRefused(f"A server is using {data.path}: stop it and its workers first.")
    earlier = [entry for entry in data.path.iterdir() if not entry.name.startswith(EARLIER)]
    if earlier and not replace:
        raise BackupRefused(f"{data.path} is not empty: pass --replace to set aside what is there.")
    draft = beside(data.path / "restored")
    try:
        shutil.copytree(folder, draft, ignore=shutil.ignore_patterns(ABOUT))
        aside = _set_aside(data.path, earlier) if earlier else None
        for entry in draft.iterdir():
            entry.rename(data.path / entry.name)
        os.sync()
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return aside


def is_used(data: DataDir) -> bool:
    """Whether a process of this machine works on the data dir."""
    locks = [lock.stem for lock in data.workers.glob("*.lock")] if data.workers.is_dir() else []
    sockets = list(data.wake.iterdir()) if data.wake.is_dir() else []
    return any(not is_free(data.workers, worker) for worker in locks) or any(map(_is_heard, sockets))


def _is_heard(path: Path) -> bool:
    """Whether a process has this datagram socket open."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)  # an address has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.connect(f"/proc/self/fd/{folder}/{path.name}")
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def _check_target(data: DataDir, folder: Path) -> None:
    if not data.jobs.exists():
        raise BackupRefused(f"There is nothing to back up: {data.path} has no {data.jobs.name}.")
    if folder.is_relative_to(data.path):
        raise BackupRefused(f"Choose a folder outside {data.path}, the directory to back up.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BackupRefused(f"{folder} exists already: choose a new name.")


def _check_backup(folder: Path) -> None:
    try:
        about = json.loads((folder / ABOUT).read_text())
    except (OSError, ValueError):
        raise BackupRefused(f"{folder} is not a backup that scripts/backup has made.") from None
    if about.get("format") != FORMAT:
        raise BackupRefused(f"{folder} was made by a later version of Longhaul: update this one first.")


def _set_aside(path: Path, entries: list[Path]) -> Path:
    aside = path / f"{EARLIER}{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    aside.mkdir(mode=0o700)
    for entry in entries:
        entry.rename(aside / entry.name)
    return aside


def _copy_files(source: Path, target: Path) -> None:
    """Copies what the target lacks, or has in an older state."""
    for path in _files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            if path.relative_to(source).parts[:2] not in AS_THEY_ARE and _is_sqlite(path):
                _copy_database(path, copy)
            elif _differs(path, copy):
                shutil.copy2(path, copy)
        except FileNotFoundError:  # deleted meanwhile, or its thread was
            continue


def _files(source: Path) -> Iterator[Path]:
    """Yields the files of a data dir, without those of the job store and of the chat."""
    for folder, folders, names in os.walk(source, followlinks=True):
        top = Path(folder) == source
        folders[:] = [
            name
            for name in folders
            if not DRAFT.fullmatch(name) and not (top and (name in MOMENTARY or name.startswith(EARLIER)))
        ]
        for name in names:
            if not DRAFT.fullmatch(name) and not name.endswith(BESIDE_SQLITE) and not (top and name in DATABASES):
                yield Path(folder) / name


def _differs(path: Path, copy: Path) -> bool:
    now = path.stat()
    then = copy.stat() if copy.exists() else None
    return then is None or (then.st_size, then.st_mtime_ns) != (now.st_size, now.st_mtime_ns)


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _copy_database(path: Path, copy: Path) -> None:
    """Copies an SQLite file in the state of one moment, while others write to it."""
    copy.unlink(missing_ok=True)
    if not path.exists():
        raise FileNotFoundError(path)  # SQLite would make it
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise OSError(errno.EIO, f"{path.name} could not be copied ({error})") from None
    if verdict != "ok":
        raise OSError(errno.EIO, f"{path.name} is damaged ({verdict})")


def _forget_workers(path: Path) -> int:
    """A server that opens the backup may claim their jobs at once. Returns the number of jobs."""
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        copy.execute("DELETE FROM workers")
        count: int = copy.execute("SELECT count(*) FROM jobs").fetchone()[0]
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count
