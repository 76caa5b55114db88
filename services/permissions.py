"""Makes stored files readable by the server's user only, even in a data dir that others may open."""

from __future__ import annotations

import contextlib
import os

from services.data_dir import DataDir


def keep_private(data: DataDir) -> None:
    """Applies to files that this process and its children create, and repairs those of earlier versions."""
    os.umask(0o077)
    for name in (data.jobs.name, data.chat.name, "auth_secret", data.audit.stem):
        for file in data.path.glob(f"{name}*"):
            # A database was closed meanwhile, or another user owns the file.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                file.chmod(0o600)
