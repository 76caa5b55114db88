"""The index of passages: sources are added whole, and a search returns passages with their source and place."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from toolkit import ToolError

MAX_PASSAGE = 1_200
"""Characters. A store cuts off longer passages; `cut_passages` makes none."""


class IndexUnusable(ToolError):
    """The index cannot be read or written. The message is a sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A document or a web page in the index."""

    key: str
    """Identifies the source: the hash of a file's content, or a page's address."""
    name: str
    """The name in citations; the store makes it unique among its sources."""
    title: str = ""
    """The title of a web page."""
    kind: str = ""
    """One of "PDF", "Word", "HTML", "Markdown", "text"."""
    pages: int | None = None
    """None when it has no pages."""
    remarks: tuple[str, ...] = ()
    """Sentences for the user about the source."""
    passages: int = 0
    """Number of passages; set by the store."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A piece of a source that is found and quoted as a whole."""

    place: str
    """Such as "page 12", "§ Findings", "lines 40–52"; empty when the source has no places."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage that was found."""

    source: Source
    place: str
    text: str
    score: float
    """Higher is better; comparable only within one search."""
    snippet: str
    """A line of text around the words found, which stand between MARK_START and MARK_END."""


MARK_START, MARK_END = "\x02", "\x03"


class IndexStore(Protocol):
    """The sources of one conversation. Blocking: call it in a thread.

    Several callers, in any process, may each open the same index. A killed caller leaves a source either complete or
    unchanged. Every method raises IndexUnusable when the store is damaged or stays busy.
    """

    def replace(self, source: Source, passages: Iterable[Passage]) -> Source:
        """Adds the source, or replaces one with the same key. Returns it with its stored name and count."""

    def remove(self, key: str) -> bool:
        """Removes the source. Returns whether there was one."""

    def source(self, key: str) -> Source | None: ...

    def sources(self) -> list[Source]:
        """Returns all sources, in the order in which they were first added."""

    def search(self, query: str, limit: int) -> list[Hit]:
        """Returns passages with any of the words, best first. Phrases in quotation marks must all occur.

        Every query is valid; one without words finds nothing.
        """
