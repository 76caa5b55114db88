"""Only the user that the server runs as may read what it keeps, also in a data dir that others may open."""

from __future__ import annotations

import contextlib
import os

from services.data_dir import DataDir


def keep_private(data: DataDir) -> None:
    """For all that this process and its children make from now on, and for what earlier versions left to others."""
    os.umask(0o077)
    for name in (data.jobs.name, data.chat.name, "auth_secret"):
        for file in data.path.glob(f"{name}*"):
            with contextlib.suppress(FileNotFoundError, PermissionError):  # a database was closed; another user's file
                file.chmod(0o600)
