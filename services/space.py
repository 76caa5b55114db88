"""The free space of the data directory."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Literal, Self

from background import cancel_and_wait, keep_running
from files.durable import make_folder
from settings import MEGABYTE, refuse

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
LEAST_BYTES = MEGABYTE
"""What a start needs: SQLite makes files, sockets and locks are files, too."""

Room = Literal["ok", "low"]


class FreeSpace:
    """`async with FreeSpace(directory, least_mb=500) as space`: logs when less is free, and when enough is free."""

    def __init__(self, directory: Path, *, least_mb: int) -> None:
        self._directory = directory
        self._least_mb = least_mb
        self._told: Room = "ok"

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(keep_running(self._watch, name="free space"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(self._watching)

    async def state(self) -> Room:
        """Returns whether as much is free as the operator wants."""
        free_mb = await asyncio.to_thread(free_bytes, self._directory) // MEGABYTE
        room: Room = "low" if free_mb < self._least_mb else "ok"
        if room != self._told:
            self._told = room
            self._tell(room, free_mb)
        return room

    def _tell(self, room: Room, free_mb: int) -> None:
        if room == "low":
            fields = {"free_mb": free_mb, "least_mb": self._least_mb}
            logger.warning("disk nearly full", extra={"fields": fields})
        else:
            logger.warning("disk has room again", extra={"fields": {"free_mb": free_mb}})

    async def _watch(self) -> None:
        await self.state()
        await asyncio.sleep(EVERY_SECONDS)


def check_data_dir(directory: Path) -> None:
    """Make the directory. End the process where it could not begin: databases cannot be opened on a full disk."""
    made = next(one for one in (directory, *directory.parents) if one.exists())
    if not made.is_dir():
        refuse(f"LONGHAUL_DATA_DIR = {str(directory)!r} cannot be used: {str(made)!r} is not a directory.")
    if os.statvfs(made).f_blocks and free_bytes(made) < LEAST_BYTES:
        refuse(
            "The disk that holds LONGHAUL_DATA_DIR is full. Make room, at least 1 MB, and start again; "
            "nothing that was stored is lost."
        )
    try:
        make_folder(directory)
    except OSError as error:
        refuse(f"LONGHAUL_DATA_DIR = {str(directory)!r} cannot be used: {error.strerror}.")
    if not os.access(directory, os.W_OK | os.X_OK):
        refuse(f"LONGHAUL_DATA_DIR = {str(directory)!r} cannot be used: this user may not write to it.")


def free_bytes(directory: Path) -> int:
    """Returns what a process without privileges may still write there."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize
