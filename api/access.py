"""Identifies the caller and decides on access: by API key, by browser cookie, or because the call is local."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPBearer

import audit
from accounts import ApiKeys, Buckets, is_local, network_of
from api.errors import ApiError
from names import SHARED_USER
from services.lifecycle import Lifecycle
from services.web import WebServices

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BEARER = "bearer "
WRONG_KEYS_PER_MINUTE = 60
"""Wrong keys from one address. They never delay a valid key: a key is too long to guess."""
EVERYBODY = "*"
UNKNOWN_KEY = "Send a known key: Authorization: Bearer KEY."
ONLY_LOCAL = "Only this machine may call, and not through a proxy, as long as neither keys nor a login are set up."

BrowserUser = Callable[[Request], Awaitable[str | None]]
"""Returns the user of the request's cookie, or None."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """The rules of one server; kept in the application's state."""

    lifecycle: Lifecycle
    browser_user: BrowserUser
    keys: ApiKeys
    buckets: Buckets
    wrong_keys: Buckets
    has_login: bool
    allow_anonymous: bool
    admins: frozenset[str]

    async def user(self, request: Request) -> str:
        """Raises `ApiError` 401 for an unknown caller, 429 after too many calls or wrong keys."""
        user = await self._known(request)
        if user != SHARED_USER and (wait := self.buckets.take(user)) > 0:
            raise ApiError(429, "rate_limited", "Too many requests; wait a little.", retry_after=wait)
        return user

    async def still_admits(self, request: Request, user: str) -> bool:
        """Whether an admitted caller is still admitted: the key may have been revoked, or the login may have ended."""
        try:
            return await self._known(request) == user
        except ApiError:
            return False

    async def _known(self, request: Request) -> str:
        if not self.keys and not self.has_login:
            return self._anybody(request)
        if self.keys and (key := _bearer(request)):
            return self._owner(key, request)
        user = await self._logged_in(request)
        if user is None:
            raise ApiError(401, "invalid_api_key", UNKNOWN_KEY if self.keys else "Log in first.")
        return user

    def _owner(self, key: str, request: Request) -> str:
        user = self.keys.user_of(key)
        if user is None:
            if (wait := self.wrong_keys.take(network_of(request.scope))) > 0:
                raise ApiError(429, "rate_limited", "Too many wrong keys; wait a little.", retry_after=wait)
            audit.record("key refused", who=audit.NOBODY)
            raise ApiError(401, "invalid_api_key", UNKNOWN_KEY)
        return user

    async def _logged_in(self, request: Request) -> str | None:
        user = await self.browser_user(request) if self.has_login else None
        if user is not None:
            _refuse_forgery(request)
        return user

    def _anybody(self, request: Request) -> str:
        if not self.allow_anonymous and not is_local(request.scope):
            raise ApiError(401, "invalid_api_key", ONLY_LOCAL)
        return SHARED_USER


def access_of(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


def open_services(request: Request) -> WebServices:
    """Raises `NotServing` while the process starts or ends."""
    return access_of(request).lifecycle.admit(WebServices)


KEY = HTTPBearer(auto_error=False, description="An API key, where keys are set up.")


async def caller(request: Request, _: Annotated[object, Security(KEY)]) -> str:
    return await admitted(request)


async def admitted(request: Request) -> str:
    """Returns the caller's name; checks and counts the caller once per request."""
    if not hasattr(request.state, "caller"):
        access = access_of(request)
        request.state.caller = await access.user(request)
        audit.CALLER.set(request.state.caller)
        request.state.still_admitted = partial(access.still_admits, request, request.state.caller)
    user: str = request.state.caller
    return user


async def owner(request: Request, job_id: str, user: Annotated[str, Depends(caller)]) -> str:
    """Raises `JobNotFound`, only for an administrator: other users have only their own jobs."""
    if user not in access_of(request).admins:
        return user
    owner = (await open_services(request).jobs.get(job_id, None)).user
    if owner != user:
        audit.record("administrator's call", method=request.method, job=job_id, owner=owner)
    return owner


async def whose(
    request: Request,
    caller: Annotated[str, Depends(caller)],
    user: Annotated[
        str | None,
        Query(max_length=200, description="For administrators: a user, or `*` for all."),
    ] = None,
) -> str | None:
    """Returns the user whose jobs are requested; None means all users. Raises `ApiError` 404 for another user's."""
    if user in (None, caller):
        return caller
    if caller not in access_of(request).admins:
        raise ApiError(404, "not_found", "Only administrators see the jobs of others.", param="user")
    audit.record("administrator's call", method=request.method, owner=user)
    return None if user == EVERYBODY else user


Services = Annotated[WebServices, Depends(open_services)]
Caller = Annotated[str, Depends(caller)]
"""The caller's name. Callers see only what belongs to them."""
Owner = Annotated[str, Depends(owner)]
"""The caller's name, or for an administrator that of the job's owner."""
Whose = Annotated[str | None, Depends(whose)]


def _bearer(request: Request) -> str:
    value = request.headers.get("authorization", "")
    return value[len(BEARER) :].strip() if value.lower().startswith(BEARER) else ""


def _refuse_forgery(request: Request) -> None:
    """Browsers send the cookie with calls from any site, so changes are accepted only from our own pages."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin", "")
    if site == "same-origin" or (site is None and origin.partition("://")[2] == request.headers.get("host")):
        return
    raise ApiError(403, "foreign_origin", "Calls with a login's cookie must come from this server's own pages.")
