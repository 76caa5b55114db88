"""The file store: uploads and the artifacts of jobs, each with an owner, read and written as streams."""

from files.errors import FileTooLarge, NoSpace, StoredFileNotFound, full_disk_told
from files.store import DirectoryFileStore, FileStore, StoredArtifact, StoredFile, safe_name

__all__ = [
    "DirectoryFileStore",
    "FileStore",
    "FileTooLarge",
    "NoSpace",
    "StoredArtifact",
    "StoredFile",
    "StoredFileNotFound",
    "full_disk_told",
    "safe_name",
]
