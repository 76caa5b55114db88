"""Who calls: the user of Chainlit's cookie, as long as this server lets them in."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from chainlit.auth import get_token_from_cookies
from chainlit.auth.cookie import _auth_cookie_name
from chainlit.auth.jwt import decode_jwt
from chainlit.oauth_providers import get_configured_oauth_providers
from chainlit.user import User
from jwt import InvalidTokenError
from starlette.requests import HTTPConnection, cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from accounts import UsersFile
from jobs import SHARED_USER

CALLER: ContextVar[str | None] = ContextVar("caller", default=None)
"""The user of the request in hand, empty for a stranger. None: no request, the program itself asks."""

MARK = "password"
"""Where a password login's cookie says which password it was, by a mark of its hash."""


@dataclass(frozen=True, kw_only=True)
class Logins:
    """The ways to come in. Without any, everybody is the one user `local`."""

    users: UsersFile | None = None
    oauth: bool = False

    @property
    def automatic(self) -> bool:
        return self.users is None and not self.oauth

    def user(self, token: str | None) -> str | None:
        """Whose token it is: None when it is nobody's, or of somebody who could not log in (any more).

        Tokens live for days. Since one was made a user may have been removed, or a login set up.
        """
        try:
            user = None if token is None else decode_jwt(token)
        except InvalidTokenError:
            return None
        return user.identifier if user is not None and self._knows(user) else None

    def _knows(self, user: User) -> bool:
        if self.automatic:
            return bool(user.identifier == SHARED_USER)
        provider, colon, _ = user.identifier.partition(":")
        if colon:
            return self.oauth and provider in get_configured_oauth_providers()
        mark = None if self.users is None else self.users.mark(user.identifier)
        return mark is not None and user.metadata.get(MARK) == mark


class KnownCallers:
    """ASGI middleware: takes off a cookie or token whose user may not come in, before Chainlit believes it."""

    def __init__(self, app: ASGIApp, *, logins: Logins) -> None:
        self._app = app
        self._logins = logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        cookies = HTTPConnection(scope).cookies
        caller = self._logins.user(get_token_from_cookies(cookies))
        headers = [(name, value) for name, value in scope["headers"] if name != b"authorization" or self._lets(value)]
        if caller is None:
            headers = [(name, _without_token(value) if name == b"cookie" else value) for name, value in headers]
        reset = CALLER.set(caller or "")
        try:
            await self._app({**scope, "headers": headers}, receive, send)
        finally:
            CALLER.reset(reset)

    def _lets(self, authorization: bytes) -> bool:
        """API keys are not ours to judge."""
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        is_token = scheme.lower() == "bearer" and token.count(".") == 2
        return not is_token or self._logins.user(token.strip()) is not None


def _without_token(header: bytes) -> bytes:
    """The other cookies are needed: an OAuth login that is under way has one."""
    parts = header.decode("latin-1").split(";")
    return ";".join(part for part in parts if not any(map(_is_token, cookie_parser(part)))).encode("latin-1")


def _is_token(name: str) -> bool:
    return bool(name.startswith(_auth_cookie_name))
