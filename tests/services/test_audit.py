"""The audit log: whole lines of several writers, bounded, private, and no trouble when the disk is full."""

from __future__ import annotations

import ast
import fcntl
import json
import logging
import re
import resource
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import audit
from services.audit import LOST, MAX_WAITING, OLDER_FILES, AuditLog, append, older
from tests.test_layout import modules
from tests.waiting import until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "logs.md"


def read(path: Path) -> list[dict[str, Any]]:
    """The records between two writes: while one runs, its last line may be there in part."""
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        return [json.loads(line) for line in file]


def test_a_record_says_who_did_what_when_and_from_where(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    token = audit.ADDRESS.set("192.0.2.1")
    try:
        with AuditLog(path):
            audit.record("job deleted", who="ada", job="job_1", owner=None)
    finally:
        audit.ADDRESS.reset(token)
    (one,) = read(path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one.pop("at"))
    assert one == {"who": "ada", "what": "job deleted", "from": "192.0.2.1", "job": "job_1"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_odd_names_stay_on_their_line_and_long_ones_are_cut(tmp_path: Path) -> None:
    with AuditLog(tmp_path / "audit.jsonl"):
        audit.record("logged in", who='a"\n\ud800' + "x" * 1000)
    (one,) = read(tmp_path / "audit.jsonl")
    assert one["who"].startswith('a"\n\ud800')
    assert len(one["who"]) == audit.MAX_CHARACTERS


def test_nothing_is_written_when_no_log_is_open(capfd: pytest.CaptureFixture[str]) -> None:
    audit.record("logged in", who="ada")
    assert capfd.readouterr() == ("", "")


def test_full_files_give_way_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(OLDER_FILES + 3):
        append(path, [b"%d\n" % number], max_bytes=2)
    kept = [older(path, number).read_text().strip() for number in range(OLDER_FILES + 1)]
    assert kept == [str(number) for number in reversed(range(2, OLDER_FILES + 3))]
    assert len(list(tmp_path.iterdir())) == OLDER_FILES + 1


def test_several_writers_lose_no_line_while_files_give_way(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    def write(writer: int) -> None:
        for number in range(100):
            append(path, [json.dumps([writer, number]).encode() + b"\n"], max_bytes=1500)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [line for number in range(OLDER_FILES + 1) for line in _lines(older(path, number))]
    assert sorted(found) == [[writer, number] for writer in range(4) for number in range(100)]


async def test_a_writer_who_waited_for_the_lock_writes_into_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        inode = f":{path.stat().st_ino} "
        writer = threading.Thread(target=append, args=(path, [b"new\n"]), kwargs={"max_bytes": 100})
        writer.start()
        locks = Path("/proc/locks")
        await until(
            lambda: [line for line in locks.read_text().splitlines() if "->" in line and inode in line],
            within=30,
            what="the writer waits",
        )
        path.rename(older(path, 1))
    writer.join()
    assert (path.read_text(), older(path, 1).read_text()) == ("new\n", "")


def _lines(path: Path) -> list[list[int]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """The file system refuses what would make the file longer than it is, and a few bytes more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_told_once_and_records_wait_for_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditLog(path):
        audit.record("logged in", who="before")
        await until(lambda: path.exists() and read(path), within=30, what="the first record")
        with full_disk(path):
            for _ in range(MAX_WAITING + 5):
                audit.record("logged in", who="meanwhile")
            await until(lambda: caplog.records, within=30, what="the log says so")
            assert len(read(path)) == 1, "no line is there in part"
        await until(lambda: len(read(path)) > MAX_WAITING, within=30, what="they are written")
    assert [record.levelname for record in caplog.records if record.name == "services.audit"] == ["ERROR"]
    lost = [int(one["count"]) for one in read(path) if one["what"] == LOST]
    assert sum(lost) + sum(one["who"] == "meanwhile" for one in read(path)) == MAX_WAITING + 5
    assert 0 < sum(lost) <= 5


def recorded() -> set[str]:
    """What the code records."""
    return {
        str(node.args[0].value)
        for module in modules()
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr) == ("audit", "record")
        and isinstance(node.args[0], ast.Constant)
    }


def test_the_page_lists_what_is_recorded_and_nothing_else() -> None:
    section = PAGE.read_text().partition("## Audit log")[2]
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    listed = {what for row in rows for what in re.findall(r"`([^`]+)`", row)}
    assert listed == recorded() | {LOST, "key added", "key revoked", "user exported", "user erased"}


def test_the_logger_is_no_part_of_the_servers_log() -> None:
    assert not logging.getLogger(audit.LOGGER).propagate
