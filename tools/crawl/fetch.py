"""Requests, bounded in time and in bytes, both as sent and as unpacked."""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from tools.crawl.guard import Guard, Refused, Unresolved
from tools.crawl.limits import USER_AGENT, Limits
from tools.crawl.links import page_url
from tools.crawl.pace import Pace
from tools.crawl.transport import GuardedBackend, GuardedTransport

_REDIRECTS = (301, 302, 303, 307, 308)
_TRY_LATER = (429, 503)
_MAX_RETRY_AFTER_SECONDS = 60.0
_READ_BYTES = 64 * 1024
_ACCEPT = "text/html, application/xhtml+xml, text/plain, text/markdown, application/pdf;q=0.9"


class Skipped(Exception):
    """A page is left out. The message is the reason, worded so that pages with the same reason can be counted."""


class OutOfReach(Skipped):
    """The server did not answer, or answered that it cannot serve the page now."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A server's answer."""

    url: httpx.URL
    status: int
    headers: httpx.Headers
    content: bytes
    """The unpacked body; empty unless the status is 200."""
    location: httpx.URL | None = None
    """The target of a redirect."""

    @property
    def content_type(self) -> str:
        """The type without parameters, in lower case; empty when the server names none."""
        return content_type(self.headers)


def content_type(headers: httpx.Headers) -> str:
    return str(headers.get("content-type", "")).partition(";")[0].strip().lower()


class Fetcher:
    """Sends requests, one at a time to a host and at its pace. Opened and closed by `async with`."""

    def __init__(self, guard: Guard, limits: Limits, pace: Pace) -> None:
        self._guard = guard
        self._limits = limits
        self._pace = pace
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        # Loading the certificate authorities takes 20 ms of CPU time.
        transport = await asyncio.to_thread(GuardedTransport, GuardedBackend(self._guard))
        self._client = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            headers={"User-Agent": USER_AGENT, "Accept": _ACCEPT, "Accept-Encoding": "gzip, deflate"},
            timeout=httpx.Timeout(self._limits.read_seconds, connect=self._limits.connect_seconds),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client is not None
        await self._client.aclose()

    async def get(self, url: httpx.URL, types: tuple[str, ...] | None, *, max_bytes: int, cut: bool = False) -> Answer:
        """Returns the answer, which may be a redirect: they are not followed. Raises Skipped.

        types: the content types to read; an answer of another type is skipped before its body is read. cut: cut off a
        body after `max_bytes` instead of skipping it.
        """
        try:
            self._guard.check(url)
            await self._pace.turn(url.host)
            try:
                async with asyncio.timeout(self._limits.page_seconds):
                    return await self._get_once_or_twice(url, types, max_bytes, cut)
            finally:
                self._pace.done(url.host)
        except Refused as error:
            raise Skipped(str(error)) from error
        except Unresolved as error:
            raise OutOfReach("the name of its server is not known") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise OutOfReach("its server took too long") from error
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error) as error:
            raise OutOfReach(_broken(error)) from error

    async def _get_once_or_twice(
        self, url: httpx.URL, types: tuple[str, ...] | None, max_bytes: int, cut: bool
    ) -> Answer:
        try:
            return await self._get(url, types, max_bytes, cut)
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if _certificate(error):
                raise
        # A server may close an idle connection at the moment when we reuse it.
        return await self._get(url, types, max_bytes, cut)

    async def _get(self, url: httpx.URL, types: tuple[str, ...] | None, max_bytes: int, cut: bool) -> Answer:
        async with self._asked(url) as response:
            if response.status_code in _REDIRECTS:
                return _redirect(url, response)
            if response.status_code in _TRY_LATER:
                self._pace.ask_for(url.host, _retry_after(response.headers))
            content = b""
            if response.status_code == 200:
                named = content_type(response.headers)
                if types is not None and named and named not in types:
                    raise Skipped(f"not a page of text ({named[:60]})")
                content = await _read(response, max_bytes, cut)
            return Answer(url=url, status=response.status_code, headers=response.headers, content=content)

    @asynccontextmanager
    async def _asked(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        assert self._client is not None
        async with self._client.stream("GET", url) as response:
            yield response


def _redirect(url: httpx.URL, response: httpx.Response) -> Answer:
    location = page_url(response.headers.get("location", ""), url) if "location" in response.headers else None
    if location is None:
        raise Skipped("it redirects to an invalid address")
    return Answer(url=url, status=response.status_code, headers=response.headers, content=b"", location=location)


async def _read(response: httpx.Response, max_bytes: int, cut: bool) -> bytes:
    """Returns the body. Raises Skipped if it is larger than `max_bytes`, before more than that is in memory."""
    length = response.headers.get("content-length", "")
    if not cut and length.isdecimal() and len(length) < 20 and int(length) > max_bytes:
        raise _too_large(max_bytes)
    unpacker = Unpacker(response.headers.get("content-encoding", ""))
    content = bytearray()
    received = 0
    async for part in response.aiter_raw(_READ_BYTES):
        received += len(part)
        content += unpacker.unpack(part, max_bytes + 1 - len(content))
        if len(content) > max_bytes or received > max_bytes:
            if cut:
                break
            raise _too_large(max_bytes)
    else:
        unpacker.check_whole()
    return bytes(content[:max_bytes])


class Unpacker:
    """Unpacks a bounded number of bytes. httpx would unpack a compression bomb before its size can be checked."""

    def __init__(self, encoding: str) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise Skipped("it is compressed in a way that was not asked for")
        self._packed = encoding not in ("", "identity")
        self._raw = encoding == "deflate"  # some servers omit the zlib header
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def unpack(self, part: bytes, max_bytes: int) -> bytes:
        if not self._packed:
            return part
        try:
            return self._inflate.decompress(self._inflate.unconsumed_tail + part, max(max_bytes, 1))
        except zlib.error:
            if not self._raw:
                raise
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._inflate.decompress(part, max(max_bytes, 1))
        finally:
            self._raw = False

    def check_whole(self) -> None:
        """Raises zlib.error when the body was cut short."""
        if self._packed and not self._inflate.eof:
            raise zlib.error


def _too_large(max_bytes: int) -> Skipped:
    return Skipped(f"it is larger than {max_bytes / 1e6:g} MB")


def _retry_after(headers: httpx.Headers) -> float:
    """Returns the seconds that Retry-After asks for; dates are not supported."""
    after = headers.get("retry-after", "").strip()
    seconds = float(after) if after.isdecimal() and len(after) < 9 else 10.0
    return min(seconds, _MAX_RETRY_AFTER_SECONDS)


def _broken(error: Exception) -> str:
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return "it is not the address of a web page"
    if _certificate(error):
        return "the certificate of its server is not valid"
    if isinstance(error, httpx.RemoteProtocolError | zlib.error):
        return "its server sent something broken"
    return "its server cannot be reached"


def _certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
