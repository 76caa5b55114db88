"""The order of pages: breadth first, each address once, so that the same answers lead to the same order."""

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
    depth: int
    """Number of links from the first page."""
    hops: int = 0
    """Number of redirects that led here."""


class Frontier:
    """The queue of targets. It reports the links and redirects that it leaves out."""

    def __init__(self, start: httpx.URL, limits: Limits, report: Report, *, max_depth: int, stay: bool) -> None:
        self.site = start
        self._limits = limits
        self._report = report
        self._max_depth = max_depth
        self._stay = stay  # only on the site of the first page
        self._waiting = deque([Target(url=start, depth=0)])
        self._seen = {str(start)}

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> Target | None:
        return self._waiting.popleft() if self._waiting else None

    def link(self, url: httpx.URL, target: Target) -> None:
        """Adds a link found on the target, or reports why not."""
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
        """Puts the address to which the target redirects first. Returns a reason if it is not to be fetched."""
        address = str(url)
        if target.hops >= self._limits.redirects:
            return f"it redirects more than {self._limits.redirects} times"
        if target.depth == 0:
            self.site = url  # a user who names example.org means the site to which it redirects
        elif self._stay and not same_site(url, self.site):
            return "it redirects to another site"
        if address in self._seen and not self._take_waiting(address):
            # The redirect is either circular or leads to a page that was read already.
            return "it redirects to a page that was asked for already"
        self._seen.add(address)
        self._waiting.appendleft(Target(url=url, depth=target.depth, hops=target.hops + 1))
        return None

    def leave(self, reason: str) -> None:
        """Leaves out all waiting targets."""
        while self._waiting:
            self._report.skip(reason, str(self._waiting.popleft().url))

    def _take_waiting(self, address: str) -> bool:
        """Removes a waiting target, which a redirect moves to the front. Returns whether there was one."""
        for waiting in self._waiting:
            if str(waiting.url) == address:
                self._waiting.remove(waiting)
                return True
        return False
