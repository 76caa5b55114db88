"""The guard between a crawl and the network. It allows only public servers, regardless of pages and DNS answers."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable

import httpx

from tools.crawl.addresses import Address, Network, is_public, literal
from tools.crawl.links import site, sites_called

Resolver = Callable[[str, int], Awaitable[list[Address]]]
"""Resolves host and port to addresses. Returns an empty list or raises OSError when the name is unknown."""

_RESOLVE_SECONDS = 10.0
_MAX_ADDRESSES = 16
_PORTS = (80, 443)
_FIRST_FREE_PORT = 1024
"""Lower ports serve mail, files and logins, and must not receive HTTP."""
_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "metadata", "instance-data"})
_DOMAINS = (".localhost", ".local", ".localdomain", ".internal", ".intranet", ".lan", ".home.arpa", ".in-addr.arpa")

_UNNAMED = (
    "the user has not named its site in this conversation; "
    "to allow it, name the address in your message or run /crawl_site"
)


class Refused(Exception):
    """The address must not be fetched. The message completes the sentence "… is not fetched: "."""


class Unresolved(Exception):
    """The name of the server is unknown."""


async def system_resolver(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_RESOLVE_SECONDS):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


class Guard:
    """Checks each address before the connection to that same address.

    `permit`: networks that are allowed although they are not public. It exists for tests, which serve from loopback; no
    setting leads here. `named_sites`: the only sites that may be visited; None means all.
    """

    def __init__(
        self,
        resolver: Resolver = system_resolver,
        permit: Iterable[Network] = (),
        *,
        named_sites: Iterable[str] | None = None,
    ) -> None:
        self._resolver = resolver
        self._permitted = tuple(permit)
        self._sites = None if named_sites is None else sites_called(named_sites)

    def check(self, url: httpx.URL) -> None:
        """Makes the checks that need no name server. Raises Refused."""
        if url.scheme not in ("http", "https"):
            raise Refused("only http and https addresses are")
        if url.userinfo:
            raise Refused("it holds a user name or a password")
        if not url.host:
            raise Refused("it names no server")
        port = url.port
        if port is not None and port not in _PORTS and not _FIRST_FREE_PORT <= port <= 65_535:
            raise Refused(f"port {port} is not one of the web")
        self._check_host(url.raw_host.decode("ascii"))  # the name that the resolver receives
        if self._sites is not None and site(url) not in self._sites:
            raise Refused(_UNNAMED)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Returns the checked addresses of `host`. Raises Refused, Unresolved."""
        self._check_host(host)
        address = literal(host)
        found = [address] if address is not None else await self._resolved(host, port)
        for one in found:
            # One private address among public ones is enough to refuse: a name that has both suggests an attack.
            self._check_address(one)
        return found

    def _check_host(self, host: str) -> None:
        address = literal(host)
        if address is not None:
            self._check_address(address)
            return
        name = host.rstrip(".").lower()
        if name in _NAMES or name.endswith(_DOMAINS) or name.startswith("metadata."):
            raise Refused("it is in a private network")

    def _check_address(self, address: Address) -> None:
        permitted = any(address.version == network.version and address in network for network in self._permitted)
        if not permitted and not is_public(address):
            raise Refused("it is in a private network")

    async def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            found = await self._resolver(host, port)
        except (
            OSError,
            UnicodeError,
        ) as error:  # TimeoutError is an OSError; the codec fails on names that are too long
            raise Unresolved from error
        if not found:
            raise Unresolved
        return found[:_MAX_ADDRESSES]
