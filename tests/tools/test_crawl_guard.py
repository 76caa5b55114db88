"""What keeps a crawl out of private networks: addresses, names, ports, and the moment of connecting."""

import asyncio
import gzip
import ipaddress
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpcore
import httpx
import pytest

from tests.tools.serving import Site, page, redirect, serving
from tools.crawl.addresses import Address, Network, is_public, literal
from tools.crawl.fetch import Fetcher, OutOfReach, Skipped, Unpacker
from tools.crawl.guard import Guard, Refused, Resolver, Unresolved
from tools.crawl.limits import Limits
from tools.crawl.links import page_url
from tools.crawl.pace import Pace
from tools.crawl.transport import GuardedBackend

LOOPBACK = ipaddress.ip_address("127.0.0.1")
ONLY_LOOPBACK: list[Network] = [ipaddress.ip_network("127.0.0.1/32")]


def answering(*answers: Iterable[str]) -> tuple[Resolver, list[str]]:
    """A resolver that gives these answers one after another, and then the last again; and the names it was asked."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [ipaddress.ip_address(one) for one in list(answers)[min(len(asked), len(answers)) - 1]]

    return resolve, asked


class Connections(httpcore.AsyncNetworkBackend):
    """The network below the guard; what is connected to is remembered, and `down` is out of reach."""

    def __init__(self, *down: str) -> None:
        self.made: list[str] = []
        self._down = down

    async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        self.made.append(f"{host} {port}")
        if host in self._down:
            raise httpcore.ConnectError
        return httpcore.AsyncMockStream([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving() as site:
        yield site


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
        "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2",
        "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
        "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:a00:1", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "100::1", "2001::1", "2001:0:4136:e378::1", "2001:db8::1",
        "2001:20::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1", "3fff::1", "5f00::1", "fc00::1",
        "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1", "2600::5efe:7f00:1", "4000::1",
        "2600:1::200:5efe:a9fe:a9fe",
    ],
)  # fmt: skip
def test_private_and_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
        "192.0.1.0", "192.167.255.255", "223.255.255.255", "168.63.129.17", "2606:4700::1111", "2a00:1450::1",
        "2001:200::1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
    ],
)  # fmt: skip
def test_addresses_of_the_web_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0x7F000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0xa9fea9fe", "169.254.169.254"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:7f00:1", "::ffff:7f00:1"),
    ],
)
def test_an_address_is_seen_in_any_spelling(host: str, address: str) -> None:
    assert literal(host) == ipaddress.ip_address(address)


@pytest.mark.parametrize("host", ["example.org", "1.2.3.4.5", "0x7f.example", "deadbeef", "", "1e100", "256.256.256"])
def test_names_are_no_addresses(host: str) -> None:
    assert literal(host) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/", "http://localhost./", "http://LocalHost:8080/", "http://a.localhost/", "http://nas.local/",
        "http://metadata/", "http://metadata.google.internal./", "http://metadata.tencentyun.com/", "http://db.internal/",
        "http://instance-data/latest", "http://router.home.arpa/", "http://127.1/", "http://2130706433/", "http://[::1]/",
        "http://[::ffff:10.0.0.1]/", "http://0x7f.1/", "http://user@example.org/", "http://user:pw@example.org/",
        "http://:pw@example.org/", "http://example.org:21/", "http://example.org:25/", "https://example.org:1023/",
        "http://example.org:0/", "ftp://example.org/", "file:///etc/passwd", "ws://example.org/", "data:text/plain,x",
        "unix:///var/run/docker.sock", "//example.org/",
    ],
)  # fmt: skip
def test_the_guard_refuses_by_the_address_alone(url: str) -> None:
    with pytest.raises(Refused):
        Guard().check(httpx.URL(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "https://example.org",
        "http://example.org:8080/",
        "https://example.org:443/",
        "http://8.8.8.8/",
    ],
)
def test_the_guard_lets_the_web_pass(url: str) -> None:
    Guard().check(httpx.URL(url))


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("example.org", "https://example.org/docs"), ("example.org", "http://EXAMPLE.org./"), ("Example.ORG.", "https://example.org/"),
        ("example.org", "https://www.example.org/"), ("www.example.org", "https://example.org/"),
        ("example.org", "http://example.org:80/"), ("example.org:443", "https://example.org/"), ("example.org:80", "http://example.org/"),
        ("example.org:8080", "http://example.org:8080/"), ("münchen.example", "https://xn--mnchen-3ya.example/"),
        ("www.xn--mnchen-3ya.example", "https://MÜNCHEN.example/"), ("[2606:4700::1111]", "https://[2606:4700::1111]/"),
    ],
)  # fmt: skip
def test_a_named_site_may_be_visited_however_it_is_written(named: str, url: str) -> None:
    address = page_url(url)
    assert address is not None
    Guard(named_sites=["other.example", named]).check(address)


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("example.org", "https://evil.example/"), ("example.org", "https://docs.example.org/"),
        ("docs.example.org", "https://example.org/"), ("example.org", "https://example.org.evil.example/"),
        ("example.org", "https://evilexample.org/"), ("example.org", "https://example.org:8443/"),
        ("example.org:8443", "https://example.org/"), ("example.org", "https://example.org@evil.example/"),
        ("example.org", "https://evil.example/?example.org"), ("example.org", "https://evil.example#@example.org"),
        ("example.org", "https://evil.example\\@example.org/"), ("example.org", "https://ехample.org/"),
        ("1.1.1.1", "http://1.0.0.1/"), ("", "https://evil.example/"), ("a b", "https://evil.example/"),
    ],
)  # fmt: skip
def test_a_site_that_nobody_named_is_refused_before_its_name_is_asked_for(named: str, url: str) -> None:
    address = page_url(url)
    assert address is not None
    with pytest.raises(Refused):
        Guard(named_sites=[named]).check(address)


async def test_one_private_address_among_public_ones_is_enough() -> None:
    resolver, _ = answering(["93.184.215.14", "10.0.0.1"])
    with pytest.raises(Refused):
        await Guard(resolver).addresses("example.org", 80)


@pytest.mark.parametrize("name", ["localhost", "127.1", "2130706433", "::1"])
async def test_what_needs_no_name_server_asks_none(name: str) -> None:
    resolver, asked = answering(["93.184.215.14"])
    with pytest.raises(Refused):
        await Guard(resolver).addresses(name, 80)
    assert asked == []


async def test_the_real_resolver_is_checked_as_well() -> None:
    from tools.crawl.guard import system_resolver

    assert LOOPBACK in await system_resolver("localhost", 80)
    with pytest.raises(Refused):
        await Guard().addresses("localhost", 80)


async def test_names_that_nobody_knows() -> None:
    async def fails(host: str, port: int) -> list[Address]:
        raise OSError("no such name")

    with pytest.raises(Unresolved):
        await Guard(fails).addresses("example.org", 80)
    resolver, _ = answering([])
    with pytest.raises(Unresolved):
        await Guard(resolver).addresses("example.org", 80)
    with pytest.raises(Unresolved):
        await Guard().addresses("a" * 300 + ".org", 80)


async def test_the_connection_goes_to_the_checked_address_and_not_to_the_name() -> None:
    """A name server that answers public first and private second has its second answer never asked for."""
    resolver, asked = answering(["93.184.215.14"], ["127.0.0.1"])
    network = Connections()
    backend = GuardedBackend(Guard(resolver), network)
    await backend.connect_tcp("example.org", 443)
    assert network.made == ["93.184.215.14 443"]
    assert asked == ["example.org"]
    with pytest.raises(Refused):  # another connection is another check
        await backend.connect_tcp("example.org", 443)
    assert network.made == ["93.184.215.14 443"]


async def test_the_next_address_is_tried_when_one_is_down() -> None:
    resolver, _ = answering(["2606:4700::1111", "1.1.1.1"])
    network = Connections("2606:4700::1111")
    await GuardedBackend(Guard(resolver), network).connect_tcp("example.org", 80)
    assert network.made == ["2606:4700::1111 80", "1.1.1.1 80"]
    with pytest.raises(httpcore.ConnectError):
        await GuardedBackend(Guard(resolver), Connections("2606:4700::1111", "1.1.1.1")).connect_tcp("a.org", 80)


def fetcher(guard: Guard, **limits: float) -> Fetcher:
    return Fetcher(guard, Limits(connect_seconds=2, read_seconds=2, **limits), Pace(0))  # type: ignore[arg-type]


async def get(fetching: Fetcher, url: str) -> bytes:
    return (await fetching.get(httpx.URL(url), None, max_bytes=10_000)).content


async def test_a_name_that_turns_private_is_refused_on_its_next_connection(site: Site) -> None:
    site.replies["/"] = page("Words.")
    site.replies["/last"] = page("Words.")
    resolver, asked = answering(["127.0.0.1"], ["127.0.0.2"])
    async with fetcher(Guard(resolver, ONLY_LOOPBACK)) as fetching:
        await get(fetching, site.url())
    async with fetcher(Guard(resolver, ONLY_LOOPBACK)) as fetching:
        with pytest.raises(Skipped, match="it is in a private network"):
            await get(fetching, site.url("/last"))
    assert asked == ["one.test", "one.test"]
    assert site.paths == ["/"]


async def test_loopback_is_out_of_reach_by_default(site: Site) -> None:
    site.replies["/"] = page("Words.")
    resolver, _ = answering(["127.0.0.1"])
    for guard in (Guard(), Guard(resolver)):
        async with fetcher(guard) as fetching:
            for host in ("127.0.0.1", "one.test", "localhost", "[::1]"):
                with pytest.raises(Skipped):
                    await get(fetching, site.url("/", host))
    assert site.asked == []


async def test_redirects_are_not_followed_by_the_client_itself(site: Site) -> None:
    site.replies["/"] = redirect("http://169.254.169.254/")
    resolver, asked = answering(["127.0.0.1"])
    async with fetcher(Guard(resolver, ONLY_LOOPBACK)) as fetching:
        answer = await fetching.get(httpx.URL(site.url()), None, max_bytes=10)
    assert str(answer.location) == "http://169.254.169.254/"
    assert asked == ["one.test"]


async def test_proxies_and_certificates_of_the_environment_are_ignored(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    site.replies["/"] = page("Words.")
    resolver, _ = answering(["127.0.0.1"])
    async with fetcher(Guard(resolver, ONLY_LOOPBACK)) as fetching:
        assert b"Words." in await get(fetching, site.url())


async def test_tls_asks_for_the_name_and_not_for_the_address() -> None:
    hello = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not hello.done():
            hello.set_result(await reader.read(4_096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    resolver, _ = answering(["127.0.0.1"])
    async with server, fetcher(Guard(resolver, ONLY_LOOPBACK)) as fetching:
        with pytest.raises(OutOfReach):
            await get(fetching, f"https://one.test:{port}/")
        assert b"one.test" in await hello


async def test_a_host_is_asked_at_its_pace() -> None:
    now = 100.0
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(round(seconds, 6))
        now += seconds

    pace = Pace(1.0, clock=lambda: now, sleep=sleep)
    await pace.turn("one.test")
    pace.done("one.test")
    await pace.turn("two.test")  # another host waits for nobody
    pace.done("two.test")
    now += 0.25
    await pace.turn("one.test")
    assert slept == [0.75]
    pace.done("one.test")
    pace.ask_for("one.test", 5)  # crawl-delay
    pace.ask_for("one.test", 0)
    await pace.turn("one.test")
    assert slept == [0.75, 5]
    now += 60
    await pace.turn("one.test")
    assert slept == [0.75, 5]


async def test_every_request_waits_its_turn_and_retry_after_slows_down(site: Site) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    site.replies |= {"/": page("Words."), "/busy": redirect("/", 503)}
    pace = Pace(2.0, clock=lambda: 0.0, sleep=sleep)
    resolver, _ = answering(["127.0.0.1"])
    async with Fetcher(Guard(resolver, ONLY_LOOPBACK), Limits(), pace) as fetching:
        for path in ("/", "/", "/missing", "/busy", "/"):
            await get(fetching, site.url(path))
    assert slept == [2.0, 2.0, 2.0, 10.0]


async def test_a_bomb_is_unpacked_no_further_than_asked_for() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    assert len(Unpacker("gzip").unpack(bomb, 1_000)) == 1_000
