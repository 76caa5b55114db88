"""The automatic login of the one local user."""

from __future__ import annotations

from chainlit.auth import create_jwt, get_token_from_cookies, set_auth_cookie
from chainlit.auth.jwt import decode_jwt
from chainlit.user import User
from jwt import InvalidTokenError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs import SHARED_USER


def local_user() -> User:
    return User(identifier=SHARED_USER, display_name=SHARED_USER)


class LocalLogin:
    """ASGI middleware: gives the cookie with the first page, whichever page that is.

    By way of Chainlit's login page a link into a thread would be lost.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        request = Request(scope)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_page(message) and not _logged_in(request):
                message["headers"] = [*message["headers"], *_cookie(request)]
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def _is_page(message: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in message["headers"])


def _logged_in(request: Request) -> bool:
    token = get_token_from_cookies(request.cookies)
    try:
        return token is not None and bool(decode_jwt(token).identifier)
    except InvalidTokenError:
        return False


def _cookie(request: Request) -> list[tuple[bytes, bytes]]:
    response = Response()
    set_auth_cookie(request, response, create_jwt(local_user()))
    return [(name, value) for name, value in response.raw_headers if name == b"set-cookie"]
