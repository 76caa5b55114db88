"""The secret that signs the browser's cookie: made once, kept in the data dir, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

FILE = "auth_secret"


def auth_secret(data_dir: Path) -> str:
    """Read the secret, or make it. Two processes that start at once end up with the same one."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = data_dir / FILE
    draft = data_dir / f"{FILE}.{secrets.token_hex(8)}"
    try:
        return path.read_text()
    except FileNotFoundError:
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
    try:
        os.link(draft, path)  # whole or not at all, and never over another process's
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()
