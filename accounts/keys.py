"""The keys of the HTTP API, and the user that each one belongs to."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from names import KEY_LINE

MAX_KEY_CHARACTERS = 1000
"""No key is longer, so longer values are refused without being hashed."""
NEVER = "never"
PREFIX = "lh_"
"""Lets people and scanners for leaked secrets recognise a key."""
KEY_BYTES = 32
LOOK_SECONDS = 1.0
"""How long the file of keys is taken as it was read, before it is looked at again."""

logger = logging.getLogger(__name__)


class BadKeysFile(Exception):
    """The file of keys cannot be read, or has a line that does not fit; the message says where."""


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """A line of the file of keys."""

    name: str
    digest: str
    """The key's SHA-256 in hexadecimal digits."""
    expires: int | None
    """The Unix second from which the key is refused."""

    @property
    def line(self) -> str:
        return f"{self.digest} {NEVER if self.expires is None else self.expires} {self.name}"

    def is_valid(self, at: float) -> bool:
        return self.expires is None or at < self.expires


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def digest_of(key: str) -> str:
    """Returns what the file stores. A slow hash protects invented passwords; 256 random bits cannot be guessed."""
    return hashlib.sha256(_bytes(key)).hexdigest()


def parse(text: str) -> dict[str, StoredKey]:
    """Returns the keys by name. Raises `BadKeysFile`."""
    keys: dict[str, StoredKey] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if not line or line.startswith("#"):
            continue
        found = KEY_LINE.fullmatch(line)
        if found is None or found["name"] in keys:
            raise BadKeysFile(f"line {number} does not fit")
        expires = None if found["expires"] == NEVER else int(found["expires"])
        keys[found["name"]] = StoredKey(name=found["name"], digest=found["digest"], expires=expires)
    return keys


class KeysFile:
    """The keys that `scripts/keys` writes. It is read again when it has changed, looked at once a second at most.

    A file that has become unusable changes nothing, so that an editing error does not lock users out.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked_at = clock()
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, StoredKey] = {}
        self._look()

    def stored(self) -> Iterable[StoredKey]:
        """Returns all keys, the expired ones too."""
        now = self._clock()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()
        return self._keys.values()

    def _look(self) -> None:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            stamp = (0, 0, 0)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = parse(self._path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, BadKeysFile) as problem:
            what = str(problem) if isinstance(problem, BadKeysFile) else "not readable"
            logger.error("file of API keys unusable; the keys read last still count", extra={"fields": {"why": what}})  # noqa: TRY400


class ApiKeys:
    """`fixed` maps each user to a key; `file` holds more. Of the fixed ones only digests are kept, made with a secret
    of this process."""

    def __init__(self, fixed: Mapping[str, SecretStr], file: KeysFile | None = None) -> None:
        self._secret = secrets.token_bytes(32)
        self._fixed = [(self._digest(_bytes(key.get_secret_value())), user) for user, key in fixed.items()]
        self._file = file

    def __bool__(self) -> bool:
        """Whether the API requires a key, even if the file holds none."""
        return bool(self._fixed) or self._file is not None

    def user_of(self, key: str) -> str | None:
        """Returns the key's user. Compares all keys in constant time, so the duration reveals nothing."""
        if len(key) > MAX_KEY_CHARACTERS:
            return None
        found = None
        digest = self._digest(_bytes(key))
        for known, user in self._fixed:
            if hmac.compare_digest(known, digest):
                found = user
        return found or self._user_in_file(key)

    def _user_in_file(self, key: str) -> str | None:
        if self._file is None:
            return None
        digest, now, found = digest_of(key), time.time(), None
        fixed = {user for _, user in self._fixed}
        for stored in self._file.stored():
            # Settings refuse a name in both at the start; one that is added later must not get a second key.
            if hmac.compare_digest(stored.digest, digest) and stored.is_valid(now) and stored.name not in fixed:
                found = stored.name
        return found

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, key=self._secret, digest_size=32).digest()


def _bytes(key: str) -> bytes:
    """A header may hold any bytes, and so may decode to unpaired surrogates."""
    return key.encode("utf-8", "surrogatepass")
