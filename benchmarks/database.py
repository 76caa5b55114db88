"""A private PostgreSQL for a measurement, with its transactions flushed to the disk as usual."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.usage import cpu_seconds
from tests.postgres import PrivatePostgres
from tests.processes import PROC


@contextlib.contextmanager
def private_postgres() -> Iterator[PrivatePostgres]:
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as directory:  # a socket's path must be short
        server = PrivatePostgres(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def postgres_seconds() -> float:
    """Returns the processor time of the PostgreSQL processes that live on this machine."""
    total = 0.0
    for process in PROC.iterdir():
        with contextlib.suppress(OSError, ValueError):
            if (process / "comm").read_text().startswith("postgres"):
                total += cpu_seconds(int(process.name))
    return total
