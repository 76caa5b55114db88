"""The tool that reads a web site into the conversation's index for search_documents."""

import asyncio
import importlib
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from toolkit import AsyncToolContext, ToolError, tool

if TYPE_CHECKING:
    from tools.crawl import Crawler

_WITHOUT_SCHEME = re.compile(r"[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}(?:[/?#:].*)?", re.IGNORECASE | re.DOTALL)


async def save_visited(
    ctx: AsyncToolContext,
    url: str,
    max_pages: int,
    max_depth: int,
    delay_seconds: float,
    same_site: bool,
    max_minutes: int,
) -> None:
    """Save the report of the pages that were visited when the crawl is stopped."""
    crawler = await _crawler(ctx, url, max_pages, max_depth, delay_seconds, same_site, max_minutes)
    await crawler.save_so_far()


@tool(partial=save_visited)
async def crawl_site(
    ctx: AsyncToolContext,
    url: Annotated[str, Field(min_length=1, max_length=2_000)],
    max_pages: Annotated[int, Field(ge=1, le=1_000)] = 50,
    max_depth: Annotated[int, Field(ge=0, le=10)] = 3,
    delay_seconds: Annotated[float, Field(ge=0.2, le=60)] = 1.0,
    same_site: bool = True,
    max_minutes: Annotated[int, Field(ge=1, le=600)] = 60,
) -> dict[str, Any]:
    """Read the pages of a public web site and make them searchable for search_documents, with their addresses.

    Args:
        url: The page to begin with; its links are followed.
        max_pages: Maximum number of pages.
        max_depth: Maximum number of links from the first page; 0 reads only that page.
        delay_seconds: The pause between two requests to a server; longer if its robots.txt asks for that.
        same_site: Ignore links to other sites.
        max_minutes: Maximum duration of the crawl.
    """
    crawler = await _crawler(ctx, url, max_pages, max_depth, delay_seconds, same_site, max_minutes)
    return await crawler.run()


async def _crawler(
    ctx: AsyncToolContext,
    url: str,
    max_pages: int,
    max_depth: int,
    delay_seconds: float,
    same_site: bool,
    max_minutes: int,
) -> "Crawler":
    # Hosts that do not crawl need not spend the 0.15 s that this import takes; on a thread, it does not block the loop.
    await asyncio.to_thread(importlib.import_module, "tools.crawl")
    from tools.crawl import Crawler, Wish, page_url

    address = page_url(f"https://{url.strip()}" if _WITHOUT_SCHEME.fullmatch(url.strip()) else url)
    if address is None or not address.scheme:
        raise ToolError(f"{url[:200]!r} is not the address of a web page. Use one such as https://example.org/docs.")
    wish = Wish(
        url=address,
        max_pages=max_pages,
        max_depth=max_depth,
        delay_seconds=delay_seconds,
        same_site=same_site,
        max_seconds=max_minutes * 60,
    )
    return Crawler(ctx, wish)
