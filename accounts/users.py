"""The users file: one line `name:argon2-hash` for each user that may log in with a password."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from names import SHARED_USER

NAME_CHARACTERS = 100
PASSWORD_CHARACTERS = 1000
MAX_CHECKS = 2
"""Passwords checked at the same time. One check takes 64 MiB and a tenth of a second of a core."""

logger = logging.getLogger(__name__)


class UsersFile:
    """The users in the file. It is read again whenever it changes, so that edits take effect at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._hashes: dict[str, str] = {}
        self._hasher = PasswordHasher()
        self._unknown_user = self._hasher.hash(secrets.token_hex(16))
        self._turn = asyncio.Semaphore(MAX_CHECKS)

    def mark(self, name: str) -> str | None:
        """Returns a digest that changes with the user's password; None if there is no such user."""
        stored = self._current().get(name)
        return None if stored is None else hashlib.blake2b(stored.encode(), digest_size=16).hexdigest()

    async def verify(self, name: str, password: str) -> bool:
        """Whether this is the user's password. An unknown name takes as long as a wrong password."""
        if not name_allowed(name) or not 0 < len(password) <= PASSWORD_CHARACTERS:
            return False
        stored = self._current().get(name)
        async with self._turn:
            matches = await asyncio.to_thread(self._matches, stored or self._unknown_user, password)
        return matches and stored is not None

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False

    def _current(self) -> dict[str, str]:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                self._hashes, self._stamp = parse(self._path.read_text("utf-8")), stamp
        except (OSError, UnicodeDecodeError):
            logger.error("users file not readable; no user can log in")  # noqa: TRY400
            self._hashes, self._stamp = {}, None
        return self._hashes


def parse(text: str) -> dict[str, str]:
    """Returns hashes by name. Skips bad lines: settings.py refuses them at the start, but the file may change later."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition(":") for line in lines if line and not line.startswith("#")]
    return {name: stored for name, _, stored in pairs if name_allowed(name) and stored.startswith("$argon2")}


def name_allowed(name: str) -> bool:
    """Whether the name is short, printable and unreserved. `local` and `provider:name` have other meanings."""
    plain = name.isprintable() and ":" not in name and name == name.strip() and not name.startswith("#")
    return plain and 0 < len(name) <= NAME_CHARACTERS and name != SHARED_USER
