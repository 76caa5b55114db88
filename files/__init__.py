"""The file store: what people upload and what jobs make, streamed, with an owner."""

from files.errors import FileTooLarge, StoredFileNotFound
from files.store import DirectoryFileStore, FileStore, StoredArtifact, StoredFile

__all__ = ["DirectoryFileStore", "FileStore", "FileTooLarge", "StoredArtifact", "StoredFile", "StoredFileNotFound"]
