"""Serves the page `/jobs`: all of a person's jobs, live."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse

from accounts import page_headers
from api.errors import ApiError

router = APIRouter(prefix="/jobs", include_in_schema=False)

PUBLIC = Path(__file__).parent.parent / "public"
SCRIPT = "text/javascript; charset=utf-8"
ASSETS = {
    "page.js": (PUBLIC / "jobs" / "page.js", SCRIPT),
    "words.js": (PUBLIC / "words.js", SCRIPT),
    "page.css": (PUBLIC / "jobs" / "page.css", "text/css; charset=utf-8"),
}
FRESH = {"Cache-Control": "no-cache"}


@router.get("")
def page(request: Request) -> HTMLResponse:
    html = (PUBLIC / "jobs" / "index.html").read_text()
    headers = page_headers(html, frame_ancestors=request.app.state.frame_ancestors)
    return HTMLResponse(html, headers={**FRESH, **headers})


@router.get("/{name}")
def asset(name: str) -> FileResponse:
    path, kind = ASSETS.get(name, (None, ""))
    if path is None:
        raise ApiError(404, "not_found", "There is nothing at this address.")
    return FileResponse(path, media_type=kind, headers={**FRESH, "X-Content-Type-Options": "nosniff"})
