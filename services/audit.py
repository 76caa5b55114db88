"""The audit log: JSON lines in the data dir, written by a thread of its own, bounded in size.

All processes that share the data dir append to one file, under a lock.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from audit import LOGGER

MAX_BYTES = 10_000_000
"""Of one file; then it is renamed, and a new one begins."""
OLDER_FILES = 9
MAX_WAITING = 10_000
"""Records that wait for a disk that takes none; more are lost, and counted."""
AGAIN_SECONDS = 1.0
LOST = "records lost"

logger = logging.getLogger(__name__)


class AuditLog(logging.Handler):
    """`with AuditLog(path):` writes the records of `audit.record` until its end. A full disk fails no request."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._change = threading.Condition()
        self._closing = False
        self._is_failing = False
        self._thread = threading.Thread(target=self._write_on, name="audit", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        logging.getLogger(LOGGER).addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Returns when all is written that can be."""
        logging.getLogger(LOGGER).removeHandler(self)
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join()

    def emit(self, record: logging.LogRecord) -> None:
        line = _line(record.created, getattr(record, "fields", {}))
        with self._change:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(line)
            else:
                self._lost += 1
            self._change.notify()

    def _write_on(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closing)
                lines, lost = list(self._waiting), self._lost
                closing = self._closing
            if not lines or self._write(lines, lost):
                if closing:
                    return
            elif closing or self._pause():
                return

    def _pause(self) -> bool:
        """Waits before the next attempt. Returns whether the log is being closed."""
        with self._change:
            return self._change.wait_for(lambda: self._closing, AGAIN_SECONDS)

    def _write(self, lines: list[bytes], lost: int) -> bool:
        try:
            append(self._path, [*lines, *([_lost_line(lost)] if lost else [])], max_bytes=self._max_bytes)
        except OSError as error:
            if not self._is_failing:
                logger.error("audit log not writable", extra={"fields": {"problem": error.strerror}})  # noqa: TRY400
            self._is_failing = True
            return False
        self._is_failing = False
        with self._change:
            for _ in lines:
                self._waiting.popleft()
            self._lost -= lost
        return True


def append(path: Path, lines: list[bytes], *, max_bytes: int) -> None:
    """Adds whole lines or, when the disk takes only a part, none. Raises `OSError`."""
    descriptor = _locked(path)
    try:
        before = os.fstat(descriptor).st_size
        if before >= max_bytes:
            _rotate(path)
            os.close(descriptor)
            descriptor = _locked(path)
            before = os.fstat(descriptor).st_size
        _write_all(descriptor, b"".join(lines), before)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    """Opens the file, for its owner only, and locks it. Another process may have renamed it meanwhile."""
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes, size: int) -> None:
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _rotate(path: Path) -> None:
    for number in range(OLDER_FILES, 0, -1):
        newer = older(path, number - 1)
        if newer.exists():
            newer.replace(older(path, number))


def older(path: Path, number: int) -> Path:
    """`audit.jsonl`, `audit.1.jsonl`, …: a greater number is older."""
    return path.with_name(f"{path.stem}.{number}{path.suffix}") if number else path


def _line(at: float, fields: dict[str, str | None]) -> bytes:
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    known = {name: value for name, value in fields.items() if value is not None or name in {"who", "from"}}
    return json.dumps({"at": when, **known}).encode() + b"\n"


def _lost_line(count: int) -> bytes:
    """Records how many records were lost while the disk accepted none."""
    return _line(time.time(), {"who": None, "what": LOST, "from": None, "count": str(count)})
