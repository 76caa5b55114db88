"""How much one crawl takes, from a site and from this machine."""

from dataclasses import dataclass

AGENT = "Longhaul"
"""The name that robots.txt may address."""
USER_AGENT = f"{AGENT}/1.0 (crawler of a person's own chat; obeys robots.txt)"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What exceeds them is left out and said so in the report."""

    page_bytes: int = 5_000_000  # as sent and, when that is compressed, as unpacked
    total_bytes: int = 200_000_000  # unpacked, of all pages
    robots_bytes: int = 512_000  # RFC 9309 asks for 500 KiB at least; what follows is ignored
    redirects: int = 5  # for one page
    known_pages: int = 10_000  # addresses that wait to be fetched
    links_per_page: int = 300
    url_characters: int = 2_000
    connect_seconds: float = 10.0
    read_seconds: float = 20.0  # without a byte
    page_seconds: float = 60.0  # for the whole of it: a server may send a byte now and then
