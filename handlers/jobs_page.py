"""Serves the page `/jobs`: all of a person's jobs, live. Its scripts lie in `public/`."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from accounts import page_headers

PAGE = Path(__file__).parent.parent / "public" / "jobs" / "index.html"


def jobs_route(frame_ancestors: str) -> Route:
    async def page(_: Request) -> HTMLResponse:
        html = PAGE.read_text()
        return HTMLResponse(
            html, headers={"Cache-Control": "no-cache", **page_headers(html, frame_ancestors=frame_ancestors)}
        )

    return Route("/jobs", page, methods=["GET"])
