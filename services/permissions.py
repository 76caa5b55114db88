"""Only the user that the server runs as may read what it keeps, also in a data dir that others may open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

OPEN_BEFORE = ("jobs.db*", "chat.db*", "auth_secret")
"""What earlier versions made readable for others, where the data dir was."""


def keep_private(data_dir: Path) -> None:
    """For all that this process and its children make from now on, and for what is there already."""
    os.umask(0o077)
    for pattern in OPEN_BEFORE:
        for file in data_dir.glob(pattern):
            with contextlib.suppress(FileNotFoundError, PermissionError):  # a database was closed; another user's file
                file.chmod(0o600)
