"""The keys of the HTTP API: whose is this one?"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from pydantic import SecretStr

LONGEST = 1000
"""Characters. No key is longer, so what is longer need not be looked at."""


class ApiKeys:
    """`keys` gives each user's key. Only digests are kept, made with a secret of this process."""

    def __init__(self, keys: Mapping[str, SecretStr]) -> None:
        self._secret = secrets.token_bytes(32)
        self._users = [(self._digest(key.get_secret_value()), user) for user, key in keys.items()]

    def __bool__(self) -> bool:
        """Whether there are any: with keys, the API asks for one."""
        return bool(self._users)

    def user_of(self, key: str) -> str | None:
        """Takes as long for every key: all are compared, and none of them until its first wrong letter."""
        if len(key) > LONGEST:
            return None
        digest, found = self._digest(key), None
        for known, user in self._users:
            if hmac.compare_digest(known, digest):
                found = user
        return found

    def _digest(self, key: str) -> bytes:
        # A header may hold anything, half a character too.
        return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=32).digest()
