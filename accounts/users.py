"""The users file: who may log in with a password, one line `name:argon2-hash` for each."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

NAME_CHARACTERS = 100
PASSWORD_CHARACTERS = 1000
AT_ONCE = 2
"""Passwords checked at a time: one check takes 64 MiB and a tenth of a second of a core."""
RESERVED = "local"
"""The shared user of a server without login."""

logger = logging.getLogger(__name__)


class UsersFile:
    """Read again whenever the file has changed: whoever is added, changed or removed is so at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._hashes: dict[str, str] = {}
        self._hasher = PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_hex(16))
        self._turn = asyncio.Semaphore(AT_ONCE)

    def mark(self, name: str) -> str | None:
        """Another one after each change of the user's password; None when there is no such user (any more)."""
        stored = self._current().get(name)
        return None if stored is None else hashlib.blake2b(stored.encode(), digest_size=16).hexdigest()

    async def verify(self, name: str, password: str) -> bool:
        """Whether name and password belong together. An unknown name takes as long as a wrong password."""
        if not name_allowed(name) or not 0 < len(password) <= PASSWORD_CHARACTERS:
            return False
        stored = self._current().get(name)
        async with self._turn:
            matches = await asyncio.to_thread(self._matches, stored or self._nobody, password)
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
            logger.error("users file not readable; nobody can log in")  # noqa: TRY400
            self._hashes, self._stamp = {}, None
        return self._hashes


def parse(text: str) -> dict[str, str]:
    """name → hash. At the start settings.py refuses a bad line; one that was written since counts for nobody."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition(":") for line in lines if line and not line.startswith("#")]
    return {name: stored for name, _, stored in pairs if name_allowed(name) and stored.startswith("$argon2")}


def name_allowed(name: str) -> bool:
    """Names are short, printable, and none of those that mean something else: `local`, `provider:somebody`."""
    plain = name.isprintable() and ":" not in name and name == name.strip() and not name.startswith("#")
    return plain and 0 < len(name) <= NAME_CHARACTERS and name != RESERVED
