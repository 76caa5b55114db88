"""The limits of one crawl."""

from dataclasses import dataclass

AGENT = "Longhaul"
"""The name by which a robots.txt may address the crawler."""
USER_AGENT = f"{AGENT}/1.0 (crawler of a person's own chat; obeys robots.txt)"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one crawl. The report lists what exceeds them and is left out."""

    page_bytes: int = 5_000_000
    """Applies to the body as sent and as unpacked."""
    total_bytes: int = 200_000_000
    """Unpacked bytes of all pages together."""
    robots_bytes: int = 512_000
    """RFC 9309 requires at least 500 KiB; the rest is ignored."""
    redirects: int = 5
    """Maximum for one page."""
    known_pages: int = 10_000
    """Maximum addresses that wait to be fetched."""
    links_per_page: int = 300
    url_characters: int = 2_000
    connect_seconds: float = 10.0
    read_seconds: float = 20.0
    """Maximum time without a byte."""
    page_seconds: float = 60.0
    """Maximum time for a whole page, because a server may send single bytes slowly."""
