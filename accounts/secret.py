"""The secret that signs the browser's cookie: made once, kept in the data dir, readable by its owner alone."""

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
"""A file that a full disk or a power cut has spoilt is empty, cut off, or full of NULs."""

logger = logging.getLogger(__name__)


def auth_secret(data_dir: Path) -> str:
    """Read the secret, or make it. Two processes that start at once end up with the same one."""
    make_folder(data_dir)
    path = data_dir / FILE
    with _alone_in(data_dir):
        secret = _read(path)
        if secret is None:
            secret = secrets.token_urlsafe(48)
            write_whole(path, secret.encode())
    return secret


def _read(path: Path) -> str | None:
    """None when there is none, or none that can be used."""
    try:
        secret = path.read_bytes().decode("ascii", "replace")
    except FileNotFoundError:
        return None
    if USABLE.fullmatch(secret):
        return secret
    logger.warning("secret empty or damaged; made anew, everybody logs in again", extra={"fields": {"file": FILE}})
    return None


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Processes that do this at the same time take turns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
