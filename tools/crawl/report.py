"""The report of a crawl: the indexed pages, and the others with the reasons."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MAX_PAGES_SHOWN = 40
_MAX_REASONS_SHOWN = 15
_MAX_EXAMPLES = 3
_MAX_SHOWN_CHARACTERS = 120
COLUMNS = ("outcome", "url", "title", "status", "depth", "passages", "bytes", "reason")


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """A page whose text is in the index."""

    url: str
    title: str
    status: int
    depth: int
    """Number of links from the first page."""
    passages: int
    bytes: int


class Report:
    """Collects outcomes in order; each address counts once."""

    def __init__(self) -> None:
        self.indexed: list[Indexed] = []
        self._skipped: dict[str, dict[str, int | None]] = {}  # from reason to address to status
        self._skipped_urls: set[str] = set()

    def page(self, page: Indexed) -> None:
        self.indexed.append(page)

    def skip(self, reason: str, url: str, status: int | None = None) -> None:
        if url not in self._skipped_urls:
            self._skipped_urls.add(url)
            self._skipped.setdefault(reason, {})[url] = status

    @property
    def skipped(self) -> int:
        return len(self._skipped_urls)

    @property
    def main_reason(self) -> str:
        """The reason for which most pages were skipped."""
        return self._by_count()[0][0] if self._skipped else "no page was asked for"

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Yields rows with the columns of COLUMNS."""
        for page in self.indexed:
            yield ("indexed", page.url, page.title, page.status, page.depth, page.passages, page.bytes, "")
        for reason, urls in self._skipped.items():
            for url, status in urls.items():
                yield ("skipped", url, "", "" if status is None else status, "", "", "", reason)

    def result(self, start: str, ended_by: str | None) -> dict[str, Any]:
        """Returns the tool's value, for the model and the user; at most 20 kB."""
        return {
            "summary": self._summary(start, ended_by),
            "pages_indexed": len(self.indexed),
            "passages": sum(page.passages for page in self.indexed),
            "pages": [
                {"url": _short(page.url), "title": _short(page.title), "passages": page.passages}
                for page in self.indexed[:_MAX_PAGES_SHOWN]
            ],
            "skipped": [
                {"reason": reason, "count": len(urls), "examples": [_short(url) for url in list(urls)[:_MAX_EXAMPLES]]}
                for reason, urls in self._by_count()[:_MAX_REASONS_SHOWN]
            ],
            "ended_by": ended_by,
        }

    def _by_count(self) -> list[tuple[str, dict[str, int | None]]]:
        return sorted(self._skipped.items(), key=lambda item: -len(item[1]))

    def _summary(self, start: str, ended_by: str | None) -> str:
        count = f"{len(self.indexed):,} page" + ("" if len(self.indexed) == 1 else "s")
        lines = [f"Indexed {count} from <{_short(start)}>. Ask about them, or use search_documents."]
        if ended_by:
            lines.append(f"The crawl ended at its limit: {ended_by}.")
        if self._skipped:
            lines += ["", "Left out:"]
            lines += [f"- {len(urls):,}: {reason}" for reason, urls in self._by_count()[:_MAX_REASONS_SHOWN]]
        return "\n".join([*lines, "", "The whole list is in crawl-report.csv."])


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[: _MAX_SHOWN_CHARACTERS - 1] + "…"
