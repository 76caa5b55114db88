"""A web server on loopback for the tests: it answers what it is told to, and remembers who asked."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An HTTP answer. `length` is what Content-Length says: the truth by default; none is sent when it is empty."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    headers: tuple[str, ...] = ()
    length: str | None = None
    hang: bool = False  # after the head: the rest never comes
    drip: bytes = b""  # sent again and again until the client leaves


def page(text: str = "", *links: str, title: str = "A page") -> Reply:
    """HTML with enough text to be an article."""
    anchors = "".join(f'<li><a href="{link}">{link}</a></li>' for link in links)
    words = f"{text} The keeper of the lighthouse writes down every ship that passes. " * 6 if text else ""
    html = f"<html><head><title>{title}</title></head><body><article><p>{words}</p></article><ul>{anchors}</ul></body>"
    return Reply(body=html.encode())


def redirect(location: str, status: int = 302) -> Reply:
    return Reply(status=status, headers=(f"Location: {location}",))


@dataclass
class Site:
    """`replies` by path; what is not there is a 404. A path may have a function, which is called with its count."""

    port: int = 0
    replies: dict[str, Reply | Callable[[int], Reply]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path and headers, in order
    times: list[float] = field(default_factory=list)  # of the requests, by the loop's clock
    open: int = 0  # connections
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/", host: str = "one.test") -> str:
        return f"http://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        """Those that were asked for, without robots.txt."""
        return [path for path, _ in self.asked if path != "/robots.txt"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split()[1]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        self.asked.append((path, headers))
        self.times.append(asyncio.get_running_loop().time())
        reply = self.replies.get(path, Reply(status=404, body=b"none"))
        if callable(reply):
            reply = reply(sum(1 for asked, _ in self.asked if asked == path))
        length = str(len(reply.body)) if reply.length is None else reply.length
        lines = [f"HTTP/1.1 {reply.status} X", *reply.headers]
        lines += [f"Content-Type: {reply.content_type}"] if reply.content_type else []
        lines += [f"Content-Length: {length}"] if length else ["Connection: close"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body)
        await writer.drain()
        if reply.hang or reply.drip:
            await self._hold(reader, writer, reply)
        return bool(length) and not reply.hang

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: Reply) -> None:
        self.hanging.set()
        if reply.hang:
            await reader.read()  # until the client leaves
        while reply.drip:
            writer.write(reply.drip)
            await writer.drain()
            await asyncio.sleep(0)


@asynccontextmanager
async def serving(**replies: Reply) -> AsyncIterator[Site]:
    """A site whose page `/` is `index`, `/a` is `a`, and so on."""
    site = Site()
    for name, reply in replies.items():
        site.replies["/" if name == "index" else f"/{name}"] = reply
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
