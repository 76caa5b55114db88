"""Writes files that are either whole or absent, even after a power cut. All functions block: call them in a thread."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def beside(target: Path) -> Path:
    """Returns a hidden name in the target's folder, for the draft that will replace the target."""
    return target.with_name(f".{secrets.token_hex(8)}")


def flush(path: Path) -> None:
    """Waits until the content of a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes the folder and its missing parents, accessible only to their owner."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        flush(path.parent)


def put_in_place(draft: Path, target: Path) -> None:
    """Renames a complete file or folder to the target, in the same folder. A file replaces an earlier one."""
    flush(draft)
    draft.replace(target)
    flush(target.parent)


def write_whole(target: Path, content: bytes) -> None:
    """Writes or replaces the file, which only its owner may read."""
    draft = beside(target)
    try:
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_bytes(content)
        put_in_place(draft, target)
    finally:
        draft.unlink(missing_ok=True)
