"""Public IP addresses: the only ones that a crawled page may lead to."""

import ipaddress
import re
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The IANA registries of special-purpose addresses, and multicast. Listed here because Python's `is_global` changes
# with patch releases, and this list must not.
_CLOSED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; the kernel treats 0.0.0.0 as loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; metadata of Alibaba Cloud at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public address, but Azure's host answers there
        "169.254.0.0/16",  # link-local; metadata of nearly every cloud at 169.254.169.254
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF; metadata of Oracle Cloud at 192.0.0.192
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# All public IPv6 addresses lie in 2000::/3, except these ranges.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # IETF, with Teredo, ORCHID and benchmarking
        "2001:db8::/32",
        "3fff::/20",
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_ISATAP = (0x00005EFE, 0x02005EFE)
"""The 32 bits that precede the IPv4 address."""
_NUMBERS = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}\.?", re.IGNORECASE)


def is_public(address: Address) -> bool:
    """Whether the address is public. An IPv6 address that embeds an IPv4 address is as public as that one."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address in _GLOBAL_V6 and not any(address in network for network in _CLOSED_V6)


def literal(host: str) -> Address | None:
    """Returns the address that `host` spells in any form that resolvers accept: `127.1`, `0x7f.1`, `2130706433`."""
    bare = host.strip("[]").partition("%")[0]
    try:
        return ipaddress.ip_address(bare.rstrip(".") if "." in bare else bare)
    except ValueError:
        pass
    if not _NUMBERS.fullmatch(bare):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(bare.rstrip(".")))
    except (OSError, ValueError):
        return None


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    number = int(address)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return ipaddress.IPv4Address((number >> 80) & 0xFFFFFFFF)
    if (number >> 32) & 0xFFFFFFFF in _ISATAP and address in _GLOBAL_V6:
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return None
