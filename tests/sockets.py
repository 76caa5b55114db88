"""A TCP proxy between browser and server that can do what networks do: cut, refuse, swallow."""

import asyncio
import time
from types import TracebackType
from typing import Self


class Proxy:
    """`async with Proxy(port) as proxy:` forwards `proxy.url` to the port on loopback."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._swallowing = False
        self.port = 0
        self.sockets_opened_at: list[float] = []
        """Monotonic times at which a web socket was opened through the proxy."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        links, self._links = self._links, set()
        for link in links:
            link.close()
        await asyncio.gather(*(link.ended for link in links), return_exceptions=True)

    async def restore(self) -> None:
        """Accept connections (again). Those that were swallowed stay dead: their other end has forgotten them."""
        self._swallowing = False
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def swallow(self) -> None:
        """Go half-open: every byte of the present connections and of new ones vanishes, nothing is closed."""
        self._swallowing = True
        for link in self._links:
            link.swallowing = True

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, self._target_port, swallowing=self._swallowing)
        self._links.add(link)
        try:
            await link.run(reader, writer)
        finally:
            self._links.discard(link)


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, target_port: int, *, swallowing: bool) -> None:
        self.swallowing = swallowing
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._proxy = proxy
        self._target_port = target_port
        self._closing = asyncio.Event()

    def close(self) -> None:
        self._closing.set()

    async def run(self, browser: asyncio.StreamReader, to_browser: asyncio.StreamWriter) -> None:
        writers = [to_browser]
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self._target_port)
            writers.append(to_server)
            closing = asyncio.ensure_future(self._closing.wait())
            ways = {
                asyncio.ensure_future(self._forward(browser, to_server)),
                asyncio.ensure_future(self._forward(server, to_browser)),
            }
            await asyncio.wait({closing, *ways}, return_when=asyncio.FIRST_COMPLETED)
            for task in (closing, *ways):
                task.cancel()
            await asyncio.gather(closing, *ways, return_exceptions=True)
        except ConnectionError:
            pass  # the server is down: the browser sees a closed connection, as it would without a proxy
        finally:
            for writer in writers:
                writer.transport.abort()
            self.ended.set_result(None)

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if self.swallowing:
                continue
            if data.startswith(b"HTTP/1.1 101"):
                self._proxy.sockets_opened_at.append(time.monotonic())
            target.write(data)
            await target.drain()
        if self.swallowing:
            await asyncio.Future()  # the end does not get through either
