"""The job store on SQLite: one file in WAL mode, one writer thread in each process, readers that never wait for it."""

from jobs.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
