"""The secret that signs the browser's cookie: made once, kept in the data directory, readable only by its owner."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from files.durable import make_folder, write_whole

FILE = "auth_secret"
USABLE = re.compile(r"\s*[!-~]{32,}\s*")
"""After a full disk or a power cut, the file may be empty, cut off, or full of NULs."""

logger = logging.getLogger(__name__)


def auth_secret(data_dir: Path) -> str:
    """Reads the secret, or makes it. Two processes that start at the same time get the same secret."""
    make_folder(data_dir)
    path = data_dir / FILE
    with _locked(data_dir):
        secret = _read(path)
        if secret is None:
            secret = secrets.token_urlsafe(48)
            write_whole(path, secret.encode())
    return secret


def _read(path: Path) -> str | None:
    """Returns None when the file is missing or damaged."""
    try:
        secret = path.read_bytes().decode("ascii", "replace")
    except FileNotFoundError:
        return None
    if USABLE.fullmatch(secret):
        return secret
    logger.warning(
        "secret empty or damaged; made a new one, so all users must log in again", extra={"fields": {"file": FILE}}
    )
    return None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Locks the folder, so that only one process at a time reads or makes the secret."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
