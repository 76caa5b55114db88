"""Temporary directories: each attempt at a call has one, which is deleted at its end."""

import asyncio
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from toolkit.errors import ToolError

PREFIX = "pool-"
LOCK = "lock"


class Scratch:
    """The directory of one pool, below `parent` or the system's. Removes the directories of pools that were killed.

    A lock on a file in the directory shows that its pool lives: the lock ends with the process.
    """

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent
        self._removing: set[asyncio.Future[None]] = set()
        self._numbers = itertools.count(1)

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
    async def directory(self, *, made: bool) -> AsyncIterator[str]:
        """Yields the path of an empty directory for one attempt at a call, and deletes it afterwards.

        made: whether it exists already; else the call creates it when it first wants it, as most calls never do.
        """
        path = self._folder / f"call-{next(self._numbers)}"
        if made:
            try:
                path.mkdir(mode=0o700)  # takes microseconds on a local disk
            except OSError as error:
                raise ToolError("The tool could not begin: the server has no room for its files.") from error
        try:
            yield str(path)
        finally:
            if path.exists():
                # A separate task, which closing awaits: a cancelled call must not leave its files behind. A thread,
                # because removing many files takes long.
                removing = asyncio.ensure_future(asyncio.to_thread(_remove, path))
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
    # Renamed only now to a name that others look for: they would take it for abandoned without a lock.
    return folder.rename(folder.with_name(f"{PREFIX}{folder.name}")), lock


def _is_abandoned(folder: Path) -> bool:
    """Whether its lock is free."""
    with suppress(OSError):
        lock = os.open(folder / LOCK, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(lock)
    return False


def _remove(folder: Path) -> None:
    """Remove it, twice if need be: a process that is being killed may still have added files."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
