"""Logs users in: by password, by an OAuth provider or, without either, automatically as the user `local`."""

from __future__ import annotations

import math
from functools import partial

import chainlit as cl
from chainlit.auth import clear_auth_cookie, create_jwt, get_token_from_cookies, set_auth_cookie
from chainlit.config import config
from chainlit.server import app
from chainlit.user import User
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import audit
from accounts import Buckets, UsersFile, network_of
from handlers.callers import DAY_SECONDS, LOGIN, MARK, Logins, one_login
from handlers.oauth import OAuthLogin
from handlers.sessions import Sessions
from names import SHARED_USER
from services.lifecycle import Lifecycle

ATTEMPTS_PER_MINUTE = 10
"""Failed logins to one name from one address."""
CLIENT_ATTEMPTS_PER_MINUTE = 60
"""Failed logins from one address, for all names together."""
NAME_CHARACTERS = 200
"""How much of an attempted name is kept."""


async def browser_user(request: Request) -> str | None:
    """Returns the user of Chainlit's cookie; None without one, or when the user may no longer log in."""
    return configured_logins().user(get_token_from_cookies(request.cookies))


def install_logins(logins: Logins, lifecycle: Lifecycle, oauth: OAuthLogin | None) -> list[Route]:
    """Tells Chainlit how users log in. Returns the routes to put before Chainlit's own."""
    app.state.logins = logins
    config.project.user_session_timeout = math.ceil(logins.session_days * DAY_SECONDS)
    routes = [
        Route("/logout", partial(log_out, lifecycle), methods=["POST"]),
        Route("/auth/jwt", show_token, methods=["POST"]),
    ]
    if oauth is not None:
        cl.oauth_callback(oauth.user)
    if logins.users is not None:
        password = PasswordLogin(logins.users)
        cl.password_auth_callback(password.user)
        routes.append(Route("/login", password.answer, methods=["POST"]))
    if logins.automatic:
        cl.header_auth_callback(_log_in_locally)
        app.add_middleware(LocalLogin)
    return routes


def configured_logins() -> Logins:
    logins: Logins = app.state.logins
    return logins


async def log_out(lifecycle: Lifecycle, request: Request) -> Response:
    """Replaces Chainlit's own route, which deletes only the cookie: a copy of its token would remain valid."""
    for token in _tokens(request):
        if (login := configured_logins().read(token)) is not None:
            await lifecycle.get(Sessions).end(login)
            audit.record("logged out", who=str(login.user.identifier))
    response = JSONResponse({"success": True})
    clear_auth_cookie(request, response)
    return response


async def show_token(request: Request) -> Response:
    """Replaces Chainlit's own route, which makes a new token of an old one, and so a login that never ends."""
    token = _bearer(request)
    if token is None or configured_logins().read(token) is None:
        return JSONResponse({"detail": "Invalid token"}, 401)
    response = JSONResponse({"success": True})
    set_auth_cookie(request, response, token)
    return response


def _tokens(request: Request) -> set[str]:
    return {token for token in (get_token_from_cookies(request.cookies), _bearer(request)) if token}


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


class PasswordLogin:
    """Replaces Chainlit's own route, which does not limit attempts.

    After too many failures even the right password is refused; otherwise an attacker could find it by continuing.
    """

    def __init__(self, users: UsersFile) -> None:
        self._users = users
        self._names = Buckets(ATTEMPTS_PER_MINUTE, burst=ATTEMPTS_PER_MINUTE)
        self._clients = Buckets(CLIENT_ATTEMPTS_PER_MINUTE, burst=CLIENT_ATTEMPTS_PER_MINUTE)

    async def answer(self, request: Request) -> Response:
        async with request.form(max_files=0, max_fields=10) as form:
            name, password = form.get("username"), form.get("password")
        if not isinstance(name, str) or not isinstance(password, str):
            return JSONResponse({"detail": "Send the form fields `username` and `password`."}, 422)
        client = network_of(request.scope)
        if (wait := self._wait(client, name)) > 0:
            seconds = math.ceil(wait)
            sentence = f"Too many attempts to log in; try again in {seconds} s."
            return JSONResponse({"detail": sentence}, 429, {"Retry-After": str(seconds)})
        if (user := await self.user(name, password)) is None:
            # An unknown name may be a password, typed into the wrong field.
            audit.record("login refused", who=name if self._users.mark(name) else audit.NOBODY)
            return JSONResponse({"detail": "Wrong name or password."}, 401)
        self._clients.give_back(client)
        self._names.give_back(_pair(client, name))
        audit.record("logged in", who=name)
        response = JSONResponse({"success": True})
        set_auth_cookie(request, response, create_jwt(user))
        return response

    async def user(self, username: str, password: str) -> User | None:
        if not await self._users.verify(username, password):
            return None
        return User(
            identifier=username, display_name=username, metadata={MARK: self._users.mark(username), LOGIN: one_login()}
        )

    def _wait(self, client: str, name: str) -> float:
        """Returns the seconds to wait. Charges an accepted attempt in advance, so that concurrent ones count."""
        if (wait := self._names.take(_pair(client, name))) > 0:
            return wait
        if (wait := self._clients.take(client)) > 0:
            self._names.give_back(_pair(client, name))
        return wait


def _pair(client: str, name: str) -> tuple[str, str]:
    return client, name[:NAME_CHARACTERS]


def local_user() -> User:
    return User(identifier=SHARED_USER, display_name=SHARED_USER)


async def _log_in_locally(headers: Headers) -> User:  # noqa: ARG001  # Chainlit passes them
    return local_user()


class LocalLogin:
    """ASGI middleware: sets the cookie with the first page of any address.

    Chainlit's login page would lose a link to a thread.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        is_unknown = await browser_user(request) is None

        async def send_with_cookie(message: Message) -> None:
            if is_unknown and message["type"] == "http.response.start" and _is_page(message):
                message["headers"] = [*message["headers"], *_cookie(request)]
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def _is_page(message: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in message["headers"])


def _cookie(request: Request) -> list[tuple[bytes, bytes]]:
    response = Response()
    set_auth_cookie(request, response, create_jwt(local_user()))
    return [(name, value) for name, value in response.raw_headers if name == b"set-cookie"]
