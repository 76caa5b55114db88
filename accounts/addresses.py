"""Where a request comes from."""

from __future__ import annotations

import ipaddress

from accounts.guard import Scope

FORWARDING = frozenset({b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"true-client-ip", b"cf-connecting-ip"})
"""Headers that proxies add, in addition to those that begin with `X-Forwarded-`. Browsers never add them."""
UNKNOWN_CHARACTERS = 100

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_local(scope: Scope) -> bool:
    """Whether the request was made on this machine.

    A request that a proxy forwards is not local, even when the proxy runs here or names a loopback address.
    """
    address = _address(scope)
    return address is not None and address.is_loopback and not any(_is_forwarding(name) for name, _ in scope["headers"])


def network_of(scope: Scope) -> str:
    """Returns the caller's address; for IPv6 the /64 network, which usually belongs to one caller."""
    address = _address(scope)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return _host(scope)[:UNKNOWN_CHARACTERS] if address is None else str(address)


def _address(scope: Scope) -> Address | None:
    """Returns None for a caller on a Unix socket, or when a proxy named something other than an address."""
    try:
        address = ipaddress.ip_address(_host(scope))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _host(scope: Scope) -> str:
    """Returns the host that uvicorn reports: the peer, or the client that a trusted proxy names."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_forwarding(header: bytes) -> bool:
    return header in FORWARDING or header.startswith(b"x-forwarded-")
