"""The crawl: each page is a step of the job, and its text is in the index before the step is recorded."""

import asyncio
import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import httpx

from toolkit import AsyncToolContext, NotFinished, ToolError
from tools.crawl.fetch import Answer, Fetcher, OutOfReach, Skipped
from tools.crawl.frontier import Frontier, Target
from tools.crawl.guard import Guard, Refused
from tools.crawl.limits import Limits
from tools.crawl.links import origin, page_url, same_site
from tools.crawl.pace import Pace
from tools.crawl.pages import READABLE, Page, read_page
from tools.crawl.report import COLUMNS, Indexed, Report
from tools.crawl.robots import Robots, rules_in
from tools.search import Passage, Source, cut_passages, index_of
from tools.tables import write_csv

_MAX_ELSEWHERE = 20
"""A page's record keeps this many links to other sites for the report."""
_MAX_STEP_NAME = 180
_MAX_PAUSE_SECONDS = 300.0
_STOPPED = "left when the crawl was stopped"

Record = dict[str, Any]
"""The record of a page's step: see `Crawler._page`."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The arguments of a crawl."""

    url: httpx.URL
    max_pages: int
    """Maximum pages requested; redirects do not count."""
    max_depth: int
    """Maximum links from the first page."""
    delay_seconds: float
    """Pause between two requests to a host."""
    same_site: bool
    max_seconds: float


class Crawler:
    """One crawl, to be run once. Tests may replace `guard`, `limits` and `pace`."""

    def __init__(
        self,
        ctx: AsyncToolContext,
        wish: Wish,
        *,
        guard: Guard | None = None,
        limits: Limits | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._ctx = ctx
        self._wish = wish
        self._limits = limits or Limits()
        self._pace = pace or Pace(wish.delay_seconds)
        self._guard = guard or Guard(named_sites=ctx.named_sites)
        self._index = index_of(ctx)
        self.report = Report()
        self._frontier = Frontier(wish.url, self._limits, self.report, max_depth=wish.max_depth, stay=wish.same_site)
        self._robots: dict[str, Robots] = {}
        self._hashes: dict[str, str] = {}  # from the hash of a text to the first page that has it
        self._asked = 0
        self._bytes = 0
        self._seconds_before = 0.0  # spent by earlier runs of this job on the recorded pages
        self._begun = time.monotonic()

    async def run(self) -> dict[str, Any]:
        """Crawls, saves crawl-report.csv and returns the tool's value.

        Raises ToolError when the first page cannot be fetched or nothing is indexed.
        """
        async with Fetcher(self._guard, self._limits, self._pace) as fetcher:
            ended_by = await self._crawl(fetcher)
        return await self._finish(ended_by)

    async def save_so_far(self) -> None:
        """Saves the report of a stopped crawl, read back from the pages that it has finished."""
        async with Fetcher(self._guard, self._limits, self._pace) as fetcher:
            while (target := self._frontier.next()) is not None:
                try:
                    await self._visit(fetcher, target)
                except NotFinished:  # pages are read one by one: none behind this one is finished
                    self.report.skip(_STOPPED, str(target.url))
                    self._frontier.leave(_STOPPED)
        if self.report.indexed:
            name = await self._save_report()
            self._ctx.log("info", f"{len(self.report.indexed):,} pages are indexed and listed in {name}")

    async def _crawl(self, fetcher: Fetcher) -> str | None:
        """Visits pages until none is left or a limit is reached. Returns that limit."""
        while (target := self._frontier.next()) is not None:
            if ended_by := self._limit_reached():
                reason = f"left when the crawl had reached its limit of {ended_by}"
                self.report.skip(reason, str(target.url))
                self._frontier.leave(reason)
                return ended_by
            await self._visit(fetcher, target)
        return None

    def _limit_reached(self) -> str | None:
        if self._asked >= self._wish.max_pages:
            return f"{self._wish.max_pages:,} pages"
        if self._bytes >= self._limits.total_bytes:
            return f"{self._limits.total_bytes / 1e6:,.0f} MB"
        if self._seconds_before + time.monotonic() - self._begun >= self._wish.max_seconds:
            return f"{self._wish.max_seconds / 60:,.0f} minutes"
        return None

    async def _visit(self, fetcher: Fetcher, target: Target) -> None:
        url = str(target.url)
        total = min(self._wish.max_pages, self._asked + 1 + len(self._frontier))
        self._ctx.report_progress(self._asked, total, f"Page {self._asked + 1}: {url}")
        try:
            await self._check_allowed(fetcher, target)
        except Skipped as error:
            self._check_first(target, error)
            self.report.skip(str(error), url)
            return
        began = time.monotonic()
        fetched = False

        async def fetch() -> Record:
            nonlocal fetched
            fetched = True
            record = await self._page(fetcher, target)
            return {**record, "seconds": round(time.monotonic() - began, 2)}

        record = await self._ctx.step(self._step_name(url), fetch)
        if not fetched:
            self._seconds_before += record["seconds"]
        self._learn(target, record)

    def _step_name(self, url: str) -> str:
        """Returns the step's name, which identifies its checkpoint: the recorded links depend on `same_site`."""
        name = f"page {url}" if self._wish.same_site else f"page {url} and its links to any site"
        return _shortened(name)

    # -- what may be fetched

    async def _check_allowed(self, fetcher: Fetcher, target: Target) -> None:
        """Raises Skipped when the page may not be fetched."""
        try:
            self._guard.check(target.url)
        except Refused as error:
            raise Skipped(str(error)) from error
        robots = await self._rules(fetcher, target)
        if not robots.allows(str(target.url)):
            raise Skipped(robots.trouble or "the site's robots.txt asks crawlers to leave it alone")
        if robots.delay_seconds > self._max_pause_seconds:
            raise Skipped("the site's robots.txt asks for longer pauses than a crawl can make")

    async def _rules(self, fetcher: Fetcher, target: Target) -> Robots:
        """Returns the rules of the target's origin. They are recorded, so that a resumed crawl obeys the same rules."""
        site = origin(target.url)
        if site not in self._robots:

            async def fetch() -> Record:
                try:
                    return {"rules": await self._fetch_rules(fetcher, target.url), "trouble": ""}
                except Skipped as error:
                    self._check_first(target, error)
                    return {"rules": "", "trouble": str(error)}

            record = await self._ctx.step(_shortened(f"robots {site}"), fetch)
            robots = await asyncio.to_thread(Robots, record["rules"], trouble=record["trouble"])
            self._robots[site] = robots
            self._pace.ask_for(target.url.host, min(robots.delay_seconds, self._max_pause_seconds))
        return self._robots[site]

    @property
    def _max_pause_seconds(self) -> float:
        """The longest pause that a robots.txt may ask for; a site that asks for more is skipped."""
        return min(_MAX_PAUSE_SECONDS, self._wish.max_seconds)

    async def _fetch_rules(self, fetcher: Fetcher, page: httpx.URL) -> str:
        """Returns the rules, empty if there is no such file (RFC 9309). Raises Skipped when the server fails."""
        url = page.copy_with(raw_path=b"/robots.txt")
        for _ in range(self._limits.redirects + 1):
            answer = await fetcher.get(url, None, max_bytes=self._limits.robots_bytes, cut=True)
            if answer.location is None:
                break
            url = answer.location
        if answer.status >= 500:
            raise OutOfReach("its robots.txt cannot be read because its server failed")
        return rules_in(answer.content.decode("utf-8-sig", "replace"))

    # -- one page

    async def _page(self, fetcher: Fetcher, target: Target) -> Record:
        """Fetches a page and puts its text into the index. Returns its record, which holds links but no text.

        Has `redirect`, or `skipped` (the reason), or `title`, `passages` and `hash`. The last two kinds have links.
        """
        url = str(target.url)
        record: Record = {"url": url, "status": None, "bytes": 0, "links": [], "elsewhere": []}
        try:
            answer = await fetcher.get(target.url, READABLE, max_bytes=self._limits.page_bytes)
            record |= {"status": answer.status, "bytes": len(answer.content)}
            if answer.location is not None:
                return record | {"redirect": str(answer.location)}
            page = await self._read(answer)
            record |= self._links(page)
            return record | await self._indexed(url, page)
        except Skipped as error:
            self._check_first(target, error)
            await asyncio.to_thread(self._index.remove, url)  # an earlier crawl may have indexed an outdated text
            return record | {"skipped": str(error)}

    async def _read(self, answer: Answer) -> Page:
        if answer.status != 200:
            raise Skipped(_STATUS.get(answer.status) or f"its server answered with status {answer.status}")
        return await asyncio.to_thread(read_page, answer, self._ctx.scratch, self._limits)

    def _links(self, page: Page) -> Record:
        stay = self._wish.same_site
        here = [str(link) for link in page.links if not stay or same_site(link, self._frontier.site)]
        elsewhere = [str(link) for link in page.links if stay and not same_site(link, self._frontier.site)]
        return {"links": here[: self._limits.links_per_page], "elsewhere": elsewhere[:_MAX_ELSEWHERE]}

    async def _indexed(self, url: str, page: Page) -> Record:
        if not page.indexable:
            raise _LeftOut("the page asks not to be indexed")
        if page.document is None:
            raise _LeftOut("it holds no text")
        passages = await asyncio.to_thread(lambda: list(_passages(page)))
        digest = hashlib.sha256("\n".join(passage.text for passage in passages).encode()).hexdigest()[:16]
        if self._hashes.get(digest, url) != url:
            raise _LeftOut("its text is the same as another page's")
        document = page.document
        source = Source(
            key=url,
            name=url,
            title=page.title,
            kind=document.kind,
            pages=document.pages,
            remarks=document.remarks,
        )
        stored = await asyncio.to_thread(self._index.replace, source, passages)
        self._ctx.source(page.title or url, url=url)
        return {"title": page.title, "passages": stored.passages, "hash": digest}

    def _check_first(self, target: Target, error: Skipped) -> None:
        """The crawl fails without its first page. No record is kept then, so a retry requests it again."""
        if target.depth == 0 and not isinstance(error, _LeftOut):
            raise ToolError(f"{str(target.url)[:200]!r} cannot be crawled: {error}.") from error

    # -- what comes of it

    def _learn(self, target: Target, record: Record) -> None:
        """Updates the crawl from the record alone, so that a resumed crawl takes the same course."""
        url = record["url"]
        self._bytes += record["bytes"]
        if "redirect" in record:
            self._follow(target, record)
            return
        self._asked += 1
        if "skipped" in record:
            self.report.skip(record["skipped"], url, record["status"])
        else:
            self._hashes.setdefault(record["hash"], url)
            self.report.page(
                Indexed(
                    url=url,
                    title=record["title"],
                    status=record["status"],
                    depth=target.depth,
                    passages=record["passages"],
                    bytes=record["bytes"],
                )
            )
        for link in _urls([*record["links"], *record["elsewhere"]]):
            self._frontier.link(link, target)

    def _follow(self, target: Target, record: Record) -> None:
        for location in _urls([record["redirect"]]):
            reason = self._frontier.redirect(location, target)
            if reason is None:
                return
            self._check_first(target, Skipped(reason))
            self.report.skip(reason, record["url"], record["status"])

    async def _finish(self, ended_by: str | None) -> dict[str, Any]:
        """Saves the artifact and returns the tool's value. Raises ToolError when nothing was indexed."""
        await self._save_report()
        done = len(self.report.indexed)
        if not done:
            raise ToolError(f"Nothing was indexed from {str(self._wish.url)[:200]!r}: {self.report.main_reason}.")
        self._ctx.report_progress(self._asked, self._asked, f"{done:,} pages indexed")
        sources = await asyncio.to_thread(self._index.sources)
        return {**self.report.result(str(self._wish.url), ended_by), "documents_in_index": len(sources)}

    async def _save_report(self) -> str:
        """Returns the artifact's name."""
        path = self._ctx.scratch / "crawl-report.csv"
        await asyncio.to_thread(write_csv, path, COLUMNS, self.report.rows())
        await self._ctx.save_artifact(path.name, path, "text/csv")
        return path.name


class _LeftOut(Skipped):
    """The page is not indexed, but its links are followed."""


_STATUS = {
    401: "it needs a login",
    403: "its server forbids it",
    404: "there is no such page (404)",
    410: "there is no such page any more (410)",
    429: "its server said to try again later (429)",
    503: "its server said to try again later (503)",
}


def _urls(addresses: Iterable[str]) -> Iterable[httpx.URL]:
    return (url for address in addresses if (url := page_url(address)) is not None)


def _passages(page: Page) -> Iterable[Passage]:
    """Yields passages. Keeps places that a reader of the site can find (sections, pages) and drops our line numbers."""
    assert page.document is not None
    for passage in cut_passages(page.document):
        named = page.document.kind == "PDF" or passage.place.startswith("§")
        yield passage if named else replace(passage, place="")


def _shortened(name: str) -> str:
    """Returns a name of bounded length; a hash replaces what is cut off, so that names stay distinct."""
    if len(name) <= _MAX_STEP_NAME:
        return name
    return f"{name[: _MAX_STEP_NAME - 20]}… {hashlib.sha256(name.encode()).hexdigest()[:16]}"
