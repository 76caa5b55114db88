"""Identifies the caller: the user of Chainlit's cookie, if this server still admits them."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import jwt
from chainlit.auth import get_token_from_cookies
from chainlit.auth.cookie import _auth_cookie_name
from chainlit.auth.jwt import decode_jwt, get_jwt_secret
from chainlit.oauth_providers import get_configured_oauth_providers
from chainlit.user import User
from jwt import InvalidTokenError
from starlette.requests import HTTPConnection, cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

import audit
from accounts import UsersFile
from names import SHARED_USER

CALLER: ContextVar[str | None] = ContextVar("caller", default=None)
"""The current request's user; empty for an unknown caller, None outside requests."""

MARK = "password"
"""Metadata key in a password login's cookie: a mark of the password's hash, so that a new password ends the login."""


ALLOWED_BY = "allowed_by"
"""Metadata key of an OAuth login: a digest of the entry of `LONGHAUL_OAUTH_ALLOW` that let the user in."""

LOGIN = "login"
"""Metadata key: a random word for each login, so that no two have the same token."""

DAY_SECONDS = 86_400


@dataclass(frozen=True, kw_only=True)
class Token:
    """The content of a valid Chainlit token."""

    user: User
    digest: str
    expires_at: float
    """Unix seconds."""


@dataclass(frozen=True, kw_only=True)
class Logins:
    """The configured ways to log in. Without any, every caller is the user `local`."""

    users: UsersFile | None = None
    oauth: bool = False
    oauth_entries: frozenset[str] = frozenset()
    """Digests of the entries that let users of OAuth in."""

    session_days: float = 15
    """How long a login lasts at most."""

    ended: dict[str, float] = field(default_factory=dict)
    """Logins that were ended: until when their tokens would live, by the tokens' digests."""

    @property
    def automatic(self) -> bool:
        return self.users is None and not self.oauth

    def user(self, token: str | None) -> str | None:
        """Returns the token's user; None for an invalid token, or a user who can no longer log in.

        Tokens live for days; meanwhile a user may have been removed, or a login set up.
        """
        read = self.read(token)
        return None if read is None else str(read.user.identifier)

    def read(self, token: str | None) -> Token | None:
        """`user`, with the content of the token."""
        try:
            claims = None if token is None else jwt.decode(token, get_jwt_secret(), algorithms=["HS256"])
            user = None if claims is None else decode_jwt(token)
        except InvalidTokenError:
            return None
        if token is None or claims is None or not self._is_recent(claims) or not self._knows(user):
            return None
        read = Token(user=user, digest=digest_of(token), expires_at=float(claims["exp"]))
        return None if read.digest in self.ended else read

    def _is_recent(self, claims: Mapping[str, Any]) -> bool:
        """A token that was made under a longer limit must not outlive a shorter one."""
        begun = claims.get("iat")
        return isinstance(begun, int | float) and time.time() < begun + self.session_days * DAY_SECONDS

    def _knows(self, user: User) -> bool:
        if self.automatic:
            return bool(user.identifier == SHARED_USER)
        provider, colon, _ = user.identifier.partition(":")
        if colon:
            is_offered = self.oauth and provider in get_configured_oauth_providers()
            return is_offered and user.metadata.get(ALLOWED_BY) in self.oauth_entries
        mark = None if self.users is None else self.users.mark(user.identifier)
        return mark is not None and user.metadata.get(MARK) == mark


def one_login() -> str:
    """Returns the metadata that make a login's token differ from every other."""
    return secrets.token_hex(8)


def digest_of(token: str) -> str:
    """Covers what is signed: base64 may write the same signature in several ways."""
    return hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


class KnownCallers:
    """ASGI middleware: removes the cookies and tokens of users who may not log in, because Chainlit trusts them."""

    def __init__(self, app: ASGIApp, *, logins: Logins) -> None:
        self._app = app
        self._logins = logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        cookies = HTTPConnection(scope).cookies
        caller = self._logins.user(get_token_from_cookies(cookies))
        headers = [(name, value) for name, value in scope["headers"] if name != b"authorization" or self._admits(value)]
        if caller is None:
            headers = [(name, _without_token(value) if name == b"cookie" else value) for name, value in headers]
        reset = CALLER.set(caller or "")
        audit.CALLER.set(caller)
        try:
            await self._app({**scope, "headers": headers}, receive, send)
        finally:
            CALLER.reset(reset)

    def _admits(self, authorization: bytes) -> bool:
        """Returns False for a token of a user who may not log in. API keys pass; the API checks them."""
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        is_token = scheme.lower() == "bearer" and token.count(".") == 2
        return not is_token or self._logins.user(token.strip()) is not None


def _without_token(header: bytes) -> bytes:
    """Keeps the other cookies; an OAuth login in progress needs its own."""
    parts = header.decode("latin-1").split(";")
    return ";".join(part for part in parts if not any(map(_is_token, cookie_parser(part)))).encode("latin-1")


def _is_token(name: str) -> bool:
    return bool(name.startswith(_auth_cookie_name))
