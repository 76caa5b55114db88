"""The errors of the file store.

FilesError
├── StoredFileNotFound    no such file, or it belongs to another user
└── FileTooLarge          more bytes than the limit
"""

from __future__ import annotations


class FilesError(Exception):
    """Base of the file store's errors. The message is a sentence that may be shown to users."""


class StoredFileNotFound(FilesError):
    def __init__(self, file_id: str) -> None:
        super().__init__(f"There is no file {file_id[:80]!r}.")


class FileTooLarge(FilesError):
    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The file is larger than the limit of {limit_bytes // 1_000_000} MB.")
