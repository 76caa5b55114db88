"""One request: bounded in bytes, as sent and as unpacked, and in time."""

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
_LONGEST_PATIENCE_SECONDS = 60.0
_READ_BYTES = 64 * 1024
_ACCEPT = "text/html, application/xhtml+xml, text/plain, text/markdown, application/pdf;q=0.9"


class Skipped(Exception):
    """A page is left out; the message says why, in words that many pages can share."""


class OutOfReach(Skipped):
    """The server gave no answer, or one that says that it cannot answer now."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server sent."""

    url: httpx.URL
    status: int
    headers: httpx.Headers
    content: bytes  # unpacked; empty unless the status is 200
    location: httpx.URL | None = None  # where a redirect leads

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; empty when the server names none."""
        return content_type(self.headers)


def content_type(headers: httpx.Headers) -> str:
    return str(headers.get("content-type", "")).partition(";")[0].strip().lower()


class Fetcher:
    """Asks servers, one request at a time to a host, each at its pace. Opened and closed by `async with`."""

    def __init__(self, guard: Guard, limits: Limits, pace: Pace) -> None:
        self._guard = guard
        self._limits = limits
        self._pace = pace
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        # Loading the certificate authorities takes 20 ms of computing.
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

    async def get(self, url: httpx.URL, types: tuple[str, ...] | None, *, most_bytes: int, cut: bool = False) -> Answer:
        """The answer, redirects included, which are not followed. Raises Skipped.

        types: the content types to read; an answer that names another is skipped before its body comes. cut: what
        exceeds `most_bytes` is left out instead of skipping all of it.
        """
        try:
            self._guard.check(url)
            await self._pace.turn(url.host)
            try:
                async with asyncio.timeout(self._limits.page_seconds):
                    return await self._get_once_or_twice(url, types, most_bytes, cut)
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
        self, url: httpx.URL, types: tuple[str, ...] | None, most_bytes: int, cut: bool
    ) -> Answer:
        try:
            return await self._get(url, types, most_bytes, cut)
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if _certificate(error):
                raise
        # A server may close a connection at the moment in which we ask again on it.
        return await self._get(url, types, most_bytes, cut)

    async def _get(self, url: httpx.URL, types: tuple[str, ...] | None, most_bytes: int, cut: bool) -> Answer:
        async with self._asked(url) as response:
            if response.status_code in _REDIRECTS:
                return _redirect(url, response)
            if response.status_code in _TRY_LATER:
                self._pace.ask_for(url.host, _patience(response.headers))
            content = b""
            if response.status_code == 200:
                named = content_type(response.headers)
                if types is not None and named and named not in types:
                    raise Skipped(f"not a page of text ({named[:60]})")
                content = await _read(response, most_bytes, cut)
            return Answer(url=url, status=response.status_code, headers=response.headers, content=content)

    @asynccontextmanager
    async def _asked(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        assert self._client is not None
        async with self._client.stream("GET", url) as response:
            yield response


def _redirect(url: httpx.URL, response: httpx.Response) -> Answer:
    location = page_url(response.headers.get("location", ""), url) if "location" in response.headers else None
    if location is None:
        raise Skipped("it redirects to nowhere")
    return Answer(url=url, status=response.status_code, headers=response.headers, content=b"", location=location)


async def _read(response: httpx.Response, most_bytes: int, cut: bool) -> bytes:
    """Raises Skipped for what is larger, before more than that is in memory."""
    length = response.headers.get("content-length", "")
    if not cut and length.isdecimal() and len(length) < 20 and int(length) > most_bytes:
        raise _too_large(most_bytes)
    unpacker = Unpacker(response.headers.get("content-encoding", ""))
    content = bytearray()
    received = 0
    async for part in response.aiter_raw(_READ_BYTES):
        received += len(part)
        content += unpacker.unpack(part, most_bytes + 1 - len(content))
        if len(content) > most_bytes or received > most_bytes:
            if cut:
                break
            raise _too_large(most_bytes)
    else:
        unpacker.check_whole()
    return bytes(content[:most_bytes])


class Unpacker:
    """Unpacks no more than is asked for: httpx would unpack a thousandfold bomb before anybody can look at its size."""

    def __init__(self, encoding: str) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise Skipped("it is packed in a way that was not asked for")
        self._packed = encoding not in ("", "identity")
        self._raw = encoding == "deflate"  # some servers leave the zlib header out
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def unpack(self, part: bytes, most_bytes: int) -> bytes:
        if not self._packed:
            return part
        try:
            return self._inflate.decompress(self._inflate.unconsumed_tail + part, max(most_bytes, 1))
        except zlib.error:
            if not self._raw:
                raise
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._inflate.decompress(part, max(most_bytes, 1))
        finally:
            self._raw = False

    def check_whole(self) -> None:
        """Raises zlib.error when what came was cut short."""
        if self._packed and not self._inflate.eof:
            raise zlib.error


def _too_large(most_bytes: int) -> Skipped:
    return Skipped(f"it is larger than {most_bytes / 1e6:g} MB")


def _patience(headers: httpx.Headers) -> float:
    """What Retry-After asks for, in seconds; a date is not read."""
    after = headers.get("retry-after", "").strip()
    seconds = float(after) if after.isdecimal() and len(after) < 9 else 10.0
    return min(seconds, _LONGEST_PATIENCE_SECONDS)


def _broken(error: Exception) -> str:
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return "it is no address of a web page"
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
