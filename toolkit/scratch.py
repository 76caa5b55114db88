"""Temporary directories of calls: each call has one of its own, which does not outlive it."""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PREFIX = "pool-"
LOCK = "lock"


class Scratch:
    """The directory of one pool, below `parent` or the system's own. What pools that were killed left is removed.

    A lock on a file in the directory tells the living from the dead: it ends with the process that holds it.
    """

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent
        self._removing: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Self:
        self._folder, self._lock = await asyncio.to_thread(_open, self._parent)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._removing)
        await asyncio.to_thread(_remove, self._folder)
        os.close(self._lock)

    @asynccontextmanager
    async def directory(self) -> AsyncIterator[str]:
        """An empty directory for one run of a call, gone afterwards."""
        # A few microseconds of a local disk; removing what a tool has left there may take long, so that has a thread.
        path = tempfile.mkdtemp(dir=self._folder, prefix="call-")
        try:
            yield path
        finally:
            # A task of its own, which closing awaits: a cancelled call must not leave its files.
            removing = asyncio.ensure_future(asyncio.to_thread(_remove, Path(path)))
            self._removing.add(removing)
            removing.add_done_callback(self._removing.discard)
            await asyncio.shield(removing)


def _open(parent: Path | None) -> tuple[Path, int]:
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for other in parent.glob(f"{PREFIX}*"):
            if _is_abandoned(other):
                _remove(other)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="longhaul-tools-"))
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Only now by the name that others look for: they take one without a lock for abandoned.
    return folder.rename(folder.with_name(f"{PREFIX}{folder.name}")), lock


def _is_abandoned(folder: Path) -> bool:
    """Whether nobody holds its lock any more."""
    with suppress(OSError):
        lock = os.open(folder / LOCK, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(lock)
    return False


def _remove(folder: Path) -> None:
    """Twice: a process that is being killed may still have put something there."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
