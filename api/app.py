"""The API as one ASGI application, with the middleware that every API request passes."""

from __future__ import annotations

from functools import partial

from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from accounts import ApiKeys, BodyLimit, Buckets, KeysFile, RequestGuard
from api import agents, deep_chat, docs_page, feed, files, health, jobs, me, metrics, tools, ui
from api.access import WRONG_KEYS_PER_MINUTE, Access, BrowserUser
from api.descriptions import described
from api.errors import install_errors, refusal_words
from api.mcp import routes as mcp
from api.openai import chat_completions, models, responses
from services.lifecycle import Lifecycle
from services.web import Settings

DESCRIPTION = """
Submit a job and follow it. The job continues even if the caller disconnects, and every follower sees every event once.
With keys set up, send `Authorization: Bearer KEY`. `/chat-stream` (Deep Chat) and `/v1` (OpenAI) lead to the same jobs.
"""
ROUTERS = (
    jobs.router,
    feed.router,
    me.router,
    files.router,
    tools.router,
    agents.router,
    deep_chat.router,
    docs_page.router,
    models.router,
    chat_completions.router,
    responses.router,
    mcp.router,
    ui.router,
    health.router,
    metrics.router,
)
FORM_BYTES = 1_000_000
"""Allowance for the form's fields and boundaries, on top of its files."""
OUR_HEADERS = ("Location", "Mcp-Session-Id", "Retry-After", "X-Job-Id", ui.RUN, ui.TAIL)


def create_api(settings: Settings, lifecycle: Lifecycle, *, browser_user: BrowserUser) -> ASGIApp:
    """Before the lifecycle is open, and once it drains, every call is answered 503."""
    app = FastAPIOffline(  # its files work without a public CDN
        title="Longhaul",
        version="0.1.0",
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,  # docs_page.py
        redoc_url=None,
        static_url=docs_page.FILES,
        redirect_slashes=False,
    )
    app.state.frame_ancestors = settings.frame_ancestors
    app.state.access = Access(
        lifecycle=lifecycle,
        browser_user=browser_user,
        keys=ApiKeys(settings.api_keys, KeysFile(settings.api_keys_path) if settings.api_keys_path else None),
        buckets=Buckets(settings.api_requests_per_minute),
        wrong_keys=Buckets(WRONG_KEYS_PER_MINUTE),
        has_login=settings.has_login,
        allow_anonymous=settings.allow_anonymous,
        admins=frozenset(settings.admins),
    )
    install_errors(app)
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = partial(described, app.openapi)  # type: ignore[method-assign]
    return _guarded(app, settings)


def _guarded(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Listed from the inside out. Refusals carry CORS headers too, so that pages of allowed origins can read them."""
    limited = BodyLimit(
        app,
        limit_bytes=settings.max_body_bytes,
        uploads=(files.UPLOADS, deep_chat.ADDRESS),
        upload_bytes=settings.max_upload_bytes + FORM_BYTES,
        words=refusal_words,
    )
    shared = CORSMiddleware(
        limited,
        allow_origins=settings.allowed_origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("*",),  # OpenAI's SDK sends a dozen of its own
        expose_headers=OUR_HEADERS,
    )
    return RequestGuard(
        shared,
        allowed_hosts=settings.allowed_hosts,
        allowed_origins=settings.allowed_origins,
        words=refusal_words,
    )
