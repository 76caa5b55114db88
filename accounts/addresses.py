"""Where a request comes from."""

from __future__ import annotations

import ipaddress

from accounts.guard import Scope

FORWARDING = frozenset({b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"true-client-ip", b"cf-connecting-ip"})
"""Headers of proxies, besides those that begin with `X-Forwarded-`. No browser sends one by itself."""
UNKNOWN_CHARACTERS = 100

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_local(scope: Scope) -> bool:
    """Whether somebody at this machine calls.

    What a proxy forwards is not from here, though the proxy is, and whatever address it names.
    """
    address = _address(scope)
    return address is not None and address.is_loopback and not any(_is_forwarding(name) for name, _ in scope["headers"])


def network_of(scope: Scope) -> str:
    """The caller's address; of IPv6 the /64, all of which one caller usually has."""
    address = _address(scope)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), 64), strict=False))
    return _host(scope)[:UNKNOWN_CHARACTERS] if address is None else str(address)


def _address(scope: Scope) -> Address | None:
    """None for a caller by Unix socket, or when a proxy named something else than an address."""
    try:
        address = ipaddress.ip_address(_host(scope))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _host(scope: Scope) -> str:
    """As uvicorn has it: the peer, or whom a trusted proxy names."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_forwarding(header: bytes) -> bool:
    return header in FORWARDING or header.startswith(b"x-forwarded-")
