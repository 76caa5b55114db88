"""The keys of the HTTP API, and the user that each one belongs to."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from pydantic import SecretStr

MAX_KEY_CHARACTERS = 1000
"""No key is longer, so longer values are refused without being hashed."""


class ApiKeys:
    """`keys` maps each user to a key. Only digests are kept, made with a secret of this process."""

    def __init__(self, keys: Mapping[str, SecretStr]) -> None:
        self._secret = secrets.token_bytes(32)
        self._users = [(self._digest(key.get_secret_value()), user) for user, key in keys.items()]

    def __bool__(self) -> bool:
        """Whether any key is configured; if so, the API requires one."""
        return bool(self._users)

    def user_of(self, key: str) -> str | None:
        """Returns the key's user. Compares all keys in constant time, so that the duration tells nothing about them."""
        if len(key) > MAX_KEY_CHARACTERS:
            return None
        digest, found = self._digest(key), None
        for known, user in self._users:
            if hmac.compare_digest(known, digest):
                found = user
        return found

    def _digest(self, key: str) -> bytes:
        # A header may hold any bytes, and so may decode to unpaired surrogates.
        return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=32).digest()
