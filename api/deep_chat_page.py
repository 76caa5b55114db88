"""Serves the page `/deep-chat`, its scripts, and the component, which `scripts/install` fetches."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse

from accounts import page_headers
from api.errors import ApiError

router = APIRouter(prefix="/deep-chat", include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "public" / "deep-chat"
BUNDLE = "deepChat.bundle.js"
SCRIPT = "text/javascript; charset=utf-8"
ASSETS = {
    "longhaul.js": (FOLDER / "longhaul.js", SCRIPT),
    "page.js": (FOLDER / "page.js", SCRIPT),
    "pictures.js": (FOLDER.parent / "pictures.js", SCRIPT),  # served here too, because a server may have no chat page
    "page.css": (FOLDER / "page.css", "text/css; charset=utf-8"),
    BUNDLE: (FOLDER / "vendor" / BUNDLE, SCRIPT),
}
FRESH = "no-cache"
VERSIONED = "public, max-age=31536000, immutable"


@dataclass(frozen=True, kw_only=True)
class Component:
    """The pinned release of the component, as `component.json` names it."""

    version: str
    url: str
    """The bundle's public address."""
    integrity: str
    """Value of the script's `integrity` attribute; browsers refuse a bundle that differs."""

    @classmethod
    def load(cls) -> Component:
        return cls(**orjson.loads((FOLDER / "component.json").read_bytes()))

    def source(self) -> str:
        """Returns the address of this server's copy if it has one, else the public address."""
        copy = FOLDER / "vendor" / BUNDLE
        return f"/deep-chat/{BUNDLE}?v={self.version}" if copy.is_file() else self.url


@router.get("")
def page(request: Request) -> HTMLResponse:
    component = Component.load()
    source = component.source()
    html = (FOLDER / "index.html").read_text()
    html = html.replace("{{component}}", escape(source)).replace("{{integrity}}", escape(component.integrity))
    elsewhere = source if source.startswith("https:") else ""
    headers = page_headers(html, frame_ancestors=request.app.state.frame_ancestors, scripts=elsewhere)
    return HTMLResponse(html, headers={"Cache-Control": FRESH, **headers})


@router.get("/{name}")
def asset(name: str) -> FileResponse:
    path, kind = ASSETS.get(name, (None, ""))
    if path is None or not path.is_file():
        raise ApiError(404, "not_found", "There is nothing at this address.")
    caching = VERSIONED if name == BUNDLE else FRESH
    return FileResponse(path, media_type=kind, headers={"Cache-Control": caching, "X-Content-Type-Options": "nosniff"})
