"""Addresses of pages: their normal form, their site, and whether they lead to media."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import httpx

_MEDIA = frozenset(
    """
    7z aac apk avi avif bin bmp bz2 css csv dmg doc docx eot epub exe flac gif gz ico iso jar jpeg jpg js json map m4a
    m4v mkv mov mp3 mp4 mpeg mpg msi ods odt ogg ogv otf png pps ppt pptx rar rpm svg tar tgz tif tiff ttf wasm wav
    webm webp wmv woff woff2 xls xlsx xml xz zip zst
    """.split()  # noqa: SIM905 - a hundred quotation marks read worse
)
Site = tuple[str, int | None]
"""Host and port; None means the default port of http or https."""

_SPACE = re.compile(r"[\x00-\x20\x7f]+")


def page_url(address: str, base: httpx.URL | None = None) -> httpx.URL | None:
    """Returns the absolute address without its fragment; None if it is not valid."""
    try:
        url = httpx.URL(_SPACE.sub("", address) if base is None else address.strip())
        if base is not None:
            url = base.join(url)
        url = url.copy_with(fragment=None)
        if url.scheme in ("http", "https"):
            if not url.host:
                return None
            url = url.copy_with(raw_path=_path(url))
    except (httpx.InvalidURL, ValueError, TypeError, UnicodeError):
        return None
    return url


def same_site(one: httpx.URL, other: httpx.URL) -> bool:
    """Whether host and port are the same, with or without `www.`, by http or https."""
    return site(one) == site(other)


def site(url: httpx.URL) -> Site:
    """Returns the site of an address."""
    return url.raw_host.decode("ascii").rstrip(".").removeprefix("www."), url.port


def sites_called(names: Iterable[str]) -> frozenset[Site]:
    """Returns the sites with names such as `example.org` or `example.org:8080`."""
    urls = (page_url(f"{scheme}://{name}") for name in names for scheme in ("http", "https"))
    return frozenset(site(url) for url in urls if url is not None)


def origin(url: httpx.URL) -> str:
    """Returns `https://example.org`, with a port unless it is the default one."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def media_kind(url: httpx.URL) -> str | None:
    """Returns a suffix such as `.jpg` if it marks a file that is not text, which need not be fetched."""
    suffix = PurePosixPath(url.path).suffix.lower().lstrip(".")
    return f".{suffix}" if suffix in _MEDIA else None


def _path(url: httpx.URL) -> bytes:
    path, question, query = url.raw_path.partition(b"?")
    return (path or b"/") + (question + query if query else b"")
