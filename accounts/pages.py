"""Security headers of pages: a page loads nothing from other origins, regardless of its content."""

from __future__ import annotations

import base64
import hashlib
import re

POLICY = "Content-Security-Policy"
NO_SNIFFING = ("X-Content-Type-Options", "nosniff")

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def page_headers(html: str, *, frame_ancestors: str, scripts: str = "") -> dict[str, str]:
    """Returns the headers of a page that holds only our own text: its inline scripts may run.

    frame_ancestors: the origins that may show the page in a frame. scripts: further sources of scripts.
    """
    return {
        POLICY: _policy(" ".join(["'self'", *_hashes(html), *scripts.split()]), frame_ancestors),
        "Referrer-Policy": "same-origin",
        # Browsers resolve the names in links before they are clicked, and a name can carry text out of the page.
        "X-DNS-Prefetch-Control": "off",
        NO_SNIFFING[0]: NO_SNIFFING[1],
    }


def _policy(scripts: str, frame_ancestors: str) -> str:
    """`connect-src 'self'` covers the websocket of the same origin."""
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        f"form-action 'self'; frame-ancestors {frame_ancestors}"
    )


def _hashes(html: str) -> list[str]:
    """Returns the hashes of the inline scripts in the policy's notation."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE_SCRIPT.findall(html))
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
