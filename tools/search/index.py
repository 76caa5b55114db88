"""What an index of passages is: sources go in whole, and a search brings back passages with their source and place."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from toolkit import ToolError

LONGEST_PASSAGE = 1_200
"""Characters. A store cuts off what is longer; `cut_passages` makes none that is."""


class IndexUnusable(ToolError):
    """The index cannot be read or written; the message is a sentence for the person who asked."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something whose passages are in the index: a document or a web page."""

    key: str  # what makes it the same source: the content's hash of a file, a page's address
    name: str  # as it is cited; the store makes it unique among its sources
    title: str = ""  # of a web page
    kind: str = ""  # "PDF", "Word", "HTML", "Markdown", "text"
    pages: int | None = None  # None when it has none
    remarks: tuple[str, ...] = ()  # what a reader of it should know
    passages: int = 0  # how many the store holds; set by the store


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A piece of a source that is found and quoted as one."""

    place: str  # "page 12", "§ Findings", "lines 40–52"; empty when the source has no places
    text: str


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage that was found."""

    source: Source
    place: str
    text: str
    score: float  # the higher the better; comparable only within one search
    snippet: str  # a line of the text around the words that were found, with MARK_START and MARK_END about them


MARK_START, MARK_END = "\x02", "\x03"


class IndexStore(Protocol):
    """Holds the sources of one conversation. Blocking: call it in a thread.

    May be used by several callers at once, in other processes too; each opens its own. A killed caller leaves a
    source whole or as it was. Every method raises IndexUnusable when the store is damaged or stays busy.
    """

    def replace(self, source: Source, passages: Iterable[Passage]) -> Source:
        """Put the source in, in the place of one with the same key. Returns it as it is stored: under its name."""

    def remove(self, key: str) -> bool:
        """Whether there was one."""

    def source(self, key: str) -> Source | None: ...

    def sources(self) -> list[Source]:
        """All, in the order in which they came first."""

    def search(self, query: str, limit: int) -> list[Hit]:
        """The passages with any of the words, best first; those in quotation marks must all occur, as phrases.

        No query is an error: one without a word finds nothing.
        """
