"""Another site, which must hear nothing: it keeps what it was asked for, and counts who merely connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class Elsewhere:
    url: str = ""
    connections: int = 0
    asked: list[str] = field(default_factory=list)
    """The heads of the requests."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
            await writer.drain()
        writer.close()

    def lures(self, name: str) -> str:
        """Markdown and HTML that make a careless page ask this site, each for an address with the name."""
        at = f"{self.url}/{name}"
        return "\n\n".join(
            [
                f"![{name}]({at}.png?secret)",
                f"![{name}-film]({at}.mp4)",
                f"![{name}-reference][{name}]",
                f"[{name}]: {at}-reference.png",
                f'<img src="{at}-html.png"><video src="{at}-html.mp4" autoplay></video><iframe src="{at}"></iframe>',
                f'<link rel="prefetch" href="{at}"><style>body {{ background: url({at}) }}</style><object data="{at}">',
                f"[link]({at}-link) {at}-bare",
            ]
        )


@contextlib.asynccontextmanager
async def elsewhere() -> AsyncIterator[Elsewhere]:
    site = Elsewhere()
    server = await asyncio.start_server(site.serve, "127.0.0.2", 0)
    site.url = f"http://127.0.0.2:{server.sockets[0].getsockname()[1]}"
    try:
        yield site
    finally:
        server.close()
