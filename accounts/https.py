"""Headers for callers over https: browsers then call, and send cookies, only over https."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from accounts.guard import Scope, Send

SECURE_SCHEMES = frozenset({"https", "wss"})
STRICT = (b"strict-transport-security", b"max-age=31536000")
"""A year, for this host name alone: its subdomains may be others' servers."""

Header = tuple[bytes, bytes]


def keep_to_https(scope: Scope, send: Send) -> Send:
    """Returns the `send` that adds the header and makes cookies `Secure`.

    uvicorn sets the scheme: its own, or the one that a proxy names which it trusts (`--forwarded-allow-ips`).
    """
    if scope.get("scheme") not in SECURE_SCHEMES:
        return send

    async def send_strictly(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*map(_secured, message.get("headers", ())), STRICT]}
        await send(message)

    return send_strictly


def _secured(header: Header) -> Header:
    name, value = header
    if name.lower() != b"set-cookie":
        return header
    attributes = {part.strip().lower() for part in value.split(b";")[1:]}
    return header if b"secure" in attributes else (name, value + b"; Secure")
