"""Writes files that are whole or not there, also after a power cut. All of it waits for the disk: use a thread."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def beside(target: Path) -> Path:
    """A hidden name in the target's folder, for what is to take its place."""
    return target.with_name(f".{secrets.token_hex(8)}")


def flush(path: Path) -> None:
    """Wait until the disk has the content of a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make the folder, and those above it, for their owner alone."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        flush(path.parent)


def put_in_place(draft: Path, target: Path) -> None:
    """Let a finished file or folder take the target's name, in the same folder. A file replaces another one."""
    flush(draft)
    draft.replace(target)
    flush(target.parent)


def write_whole(target: Path, content: bytes) -> None:
    """Write the file, which only its owner may read, or replace it."""
    draft = beside(target)
    try:
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_bytes(content)
        put_in_place(draft, target)
    finally:
        draft.unlink(missing_ok=True)
