"""A worker's directory for what its tools have in hand. Whatever a killed worker left, the next one clears away."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobs.local import WorkerLock, is_free


@asynccontextmanager
async def open_scratch(directory: Path) -> AsyncIterator[Path]:
    """A new directory, for as long as the block runs."""
    name = f"worker_{secrets.token_hex(6)}"
    with WorkerLock(directory, name):
        await asyncio.to_thread(_clear_dead, directory)
        own = directory / name
        own.mkdir(mode=0o700)
        try:
            yield own
        finally:
            await asyncio.to_thread(shutil.rmtree, own, ignore_errors=True)


def _clear_dead(directory: Path) -> None:
    for lock in directory.glob("*.lock"):
        if is_free(directory, lock.stem):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
