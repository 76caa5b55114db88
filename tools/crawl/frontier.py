"""Which page comes next: breadth first, each address once, so that the same answers lead to the same order."""

from collections import deque
from dataclasses import dataclass

import httpx

from tools.crawl.limits import Limits
from tools.crawl.links import media_kind, same_site
from tools.crawl.report import Report


@dataclass(frozen=True, kw_only=True)
class Target:
    """A page to fetch."""

    url: httpx.URL
    depth: int  # links from the first page
    hops: int = 0  # redirects that led here


class Frontier:
    """Takes links and redirects, gives targets; tells the report what is left out."""

    def __init__(self, start: httpx.URL, limits: Limits, report: Report, *, max_depth: int, stay: bool) -> None:
        self.site = start
        self._limits = limits
        self._report = report
        self._max_depth = max_depth
        self._stay = stay  # on the site of the first page
        self._waiting = deque([Target(url=start, depth=0)])
        self._seen = {str(start)}

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> Target | None:
        return self._waiting.popleft() if self._waiting else None

    def link(self, url: httpx.URL, target: Target) -> None:
        """A link that stands on the target."""
        address = str(url)
        if address in self._seen:
            return
        if self._stay and not same_site(url, self.site):
            self._report.skip("on another site", address)
        elif media := media_kind(url):
            self._report.skip(f"not a page of text ({media})", address)
        elif target.depth >= self._max_depth:
            self._report.skip(f"more than {self._max_depth} links away from the first page", address)
        elif len(self._waiting) >= self._limits.known_pages:
            self._report.skip(f"found when {self._limits.known_pages:,} other pages were waiting", address)
        else:
            self._seen.add(address)
            self._waiting.append(Target(url=url, depth=target.depth + 1))

    def redirect(self, url: httpx.URL, target: Target) -> str | None:
        """The target leads there, which is next. Returns why not, when it is not."""
        address = str(url)
        if target.hops >= self._limits.redirects:
            return f"it redirects more than {self._limits.redirects} times"
        if target.depth == 0:
            self.site = url  # who asks for example.org means the site to which that leads
        elif self._stay and not same_site(url, self.site):
            return "it redirects to another site"
        if address in self._seen and not self._waits(address):
            # Where a circle closes there is nothing to read; where two ways meet, the page was read on the other.
            return "it redirects to a page that was asked for already"
        self._seen.add(address)
        self._waiting.appendleft(Target(url=url, depth=target.depth, hops=target.hops + 1))
        return None

    def leave(self, reason: str) -> None:
        """What waits is left out."""
        while self._waiting:
            self._report.skip(reason, str(self._waiting.popleft().url))

    def _waits(self, address: str) -> bool:
        """Whether it was to come later; then it comes now."""
        for waiting in self._waiting:
            if str(waiting.url) == address:
                self._waiting.remove(waiting)
                return True
        return False
