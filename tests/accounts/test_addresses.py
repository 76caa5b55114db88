"""Where a request comes from."""

from __future__ import annotations

from typing import Any

import pytest

from accounts import is_local, network_of


def scope(host: str | None, *headers: str) -> dict[str, Any]:
    client = None if host is None else (host, 1234)
    return {"type": "http", "client": client, "headers": [(name.encode(), b"127.0.0.1") for name in headers]}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"])
def test_whoever_calls_from_this_machine_is_local(host: str) -> None:
    assert is_local(scope(host, "host", "cookie", "origin"))


@pytest.mark.parametrize(
    "host", [None, "", "localhost", "192.0.2.1", "0.0.0.0", "::", "2001:db8::1", "::ffff:192.0.2.1"]
)
def test_whoever_calls_from_elsewhere_or_from_nobody_knows_where_is_not(host: str | None) -> None:
    assert not is_local(scope(host))


PROXIES = ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-proto", "via", "cf-connecting-ip"]


@pytest.mark.parametrize("header", PROXIES)
def test_whom_a_proxy_forwards_is_not_local_whatever_the_proxy_says(header: str) -> None:
    assert not is_local(scope("127.0.0.1", "host", header))


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", True),
        ("2001:db8:1:1::1", "2001:db8:1:2::1", False),
        ("2001:db8::1", "2001:0DB8:0::2", True),
        (None, "", True),
        ("x" * 1000, "x" * 2000, True),
    ],
)
def test_addresses_of_one_network_are_counted_together(one: str | None, another: str, same: bool) -> None:
    assert (network_of(scope(one)) == network_of(scope(another))) is same
