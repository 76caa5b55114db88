"""The names of everything in the data dir."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataDir:
    """Paths in the data dir, which also holds the generated secret (`accounts/secret.py`)."""

    path: Path

    @property
    def jobs(self) -> Path:
        """SQLite: jobs, logs, threads, workers."""
        return self.path / "jobs.db"

    @property
    def chat(self) -> Path:
        """SQLite: Chainlit's users and their feedback."""
        return self.path / "chat.db"

    @property
    def audit(self) -> Path:
        """The audit log as JSON lines, with its older files beside it."""
        return self.path / "audit.jsonl"

    @property
    def files(self) -> Path:
        """Uploads and artifacts."""
        return self.path / "files"

    @property
    def workers(self) -> Path:
        """A lock for each worker."""
        return self.path / "workers"

    @property
    def wake(self) -> Path:
        """A socket for each process."""
        return self.path / "wake"

    @property
    def spool(self) -> Path:
        """Uploads while they arrive."""
        return self.path / "spool"

    @property
    def scratch(self) -> Path:
        """Temporary directories of tool calls."""
        return self.path / "scratch"
