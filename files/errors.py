"""The errors of the file store.

FilesError
├── StoredFileNotFound    no such file, or it belongs to another user
├── FileTooLarge          more bytes than the limit
├── NoSpace               the disk is full, or the file system's quota is used up
└── WriterStale           another writer has taken over
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FilesError(Exception):
    """Base of the file store's errors. The message is a sentence that may be shown to users."""


class StoredFileNotFound(FilesError):
    def __init__(self, file_id: str) -> None:
        super().__init__(f"There is no file {file_id[:80]!r}.")


class FileTooLarge(FilesError):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The file is larger than the limit of {limit_bytes // 1_000_000} MB.")


class WriterStale(FilesError):
    def __init__(self) -> None:
        super().__init__("Another worker makes these files now.")


class NoSpace(FilesError):
    def __init__(self) -> None:
        super().__init__("The server's disk is full, so the file was not stored. Try again when there is room.")


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Raises `NoSpace` instead of the system's error."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace from error
        raise
