"""Who calls, and whether they may: an API key, the browser's cookie, or whoever sits at this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from accounts import ApiKeys, Buckets
from api.errors import RETRY_SECONDS, ApiError
from jobs import SHARED_USER
from services.web import WebServices

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BEARER = "bearer "
UNKNOWN_KEY = "Send a known key: Authorization: Bearer KEY."

BrowserUser = Callable[[Request], Awaitable[str | None]]
"""Whose cookie a request carries, if any."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """The rules of one server; kept in the application's state."""

    services: Callable[[], WebServices | None]
    """None while the process starts or ends."""
    browser_user: BrowserUser
    keys: ApiKeys
    buckets: Buckets
    has_login: bool
    allow_anonymous: bool

    async def user(self, request: Request) -> str:
        """Raises `ApiError` 401 for a stranger, 429 for who calls too often."""
        user = await self._known(request)
        if user != SHARED_USER and (wait := self.buckets.take(user)) > 0:
            raise ApiError(429, "rate_limited", "Too many requests; wait a little.", retry_after=wait)
        return user

    async def _known(self, request: Request) -> str:
        if not self.keys and not self.has_login:
            return self._anybody(request)
        key = _bearer(request)
        user = self.keys.user_of(key) if self.keys and key else await self._logged_in(request)
        if user is None:
            raise ApiError(401, "invalid_api_key", UNKNOWN_KEY if self.keys else "Log in first.")
        return user

    async def _logged_in(self, request: Request) -> str | None:
        user = await self.browser_user(request) if self.has_login else None
        if user is not None:
            _refuse_forgery(request)
        return user

    def _anybody(self, request: Request) -> str:
        if not self.allow_anonymous and not _is_loopback(request):
            raise ApiError(401, "invalid_api_key", "Only this machine may call, as long as no keys are set up.")
        return SHARED_USER


def access_of(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


def open_services(request: Request) -> WebServices:
    """Raises `ApiError` 503 while the process starts or ends."""
    services = access_of(request).services()
    if services is None or services.draining.begun:
        raise ApiError(503, "unavailable", "The server is starting or stopping; try again.", retry_after=RETRY_SECONDS)
    return services


KEY = HTTPBearer(auto_error=False, description="An API key, where keys are set up.")


async def caller(request: Request, _: Annotated[object, Security(KEY)]) -> str:
    return await admitted(request)


async def admitted(request: Request) -> str:
    """Who calls; asked, and counted, once a request."""
    if not hasattr(request.state, "caller"):
        request.state.caller = await access_of(request).user(request)
    user: str = request.state.caller
    return user


Services = Annotated[WebServices, Depends(open_services)]
Caller = Annotated[str, Depends(caller)]
"""The name of whoever calls: they see their own things, and nobody else's."""


def _bearer(request: Request) -> str:
    value = request.headers.get("authorization", "")
    return value[len(BEARER) :].strip() if value.lower().startswith(BEARER) else ""


def _refuse_forgery(request: Request) -> None:
    """A cookie comes along with whatever page made the browser call; only our own pages may change anything by it."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin", "")
    if site == "same-origin" or (site is None and origin.partition("://")[2] == request.headers.get("host")):
        return
    raise ApiError(403, "foreign_origin", "Calls with a login's cookie must come from this server's own pages.")


def _is_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
