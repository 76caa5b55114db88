"""What a document is once it is read: passages in order, each with the place a reader would look it up at."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from toolkit import ToolError

PlaceKind = Literal["page", "section", "line", "paragraph"]

# Brackets and semicolons delimit citations, so a heading or a file name that is quoted in one may not hold them.
_DELIMITERS = str.maketrans({"[": "(", "]": ")", ";": ",", "\n": " "})
_LONGEST_TITLE = 80


class DocumentError(ToolError):
    """A document cannot be read; the message is a sentence for the person who sent it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one call reads. What is larger is refused with a sentence, never cut off in silence."""

    files: int = 20
    bytes_per_file: int = 200_000_000
    pages: int = 3_000  # of all documents together
    characters: int = 5_000_000  # of all documents together: some 700 chunks, a night's work for a model
    unpacked_bytes: int = 256_000_000  # of one .docx, which is a zip archive
    unpacked_xml_bytes: int = 48_000_000  # of its XML, which takes about ten times as much memory when parsed


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a passage stands. `number` counts from 1 in the order of the document."""

    kind: PlaceKind
    number: int
    title: str = ""  # of a section

    @property
    def label(self) -> str:
        """As it stands in a citation: `p. 3`, `§ Findings`, `line 40`, `¶ 7`."""
        if self.kind == "section":
            return f"§ {self.title}"
        return f"{_ONE[self.kind]} {self.number}"


_ONE = {"page": "p.", "line": "line", "paragraph": "¶"}
_MANY = {"page": "pp.", "line": "lines", "paragraph": "¶¶"}


def section(number: int, title: str) -> Place:
    return Place(kind="section", number=number, title=quotable(title, _LONGEST_TITLE) or f"Section {number}")


def range_label(first: Place, last: Place) -> str:
    """The label of a stretch: `pp. 3–5`; sections are named one after the other."""
    if first == last:
        return first.label
    if first.kind == "section":
        return f"{first.label}; {last.label}"
    return f"{_MANY[first.kind]} {first.number}–{last.number}"


def quotable(text: str, longest: int) -> str:
    """`text` without what would end a citation early, on one line, and no longer than `longest` characters."""
    flat = re.sub(r"\s+", " ", text.translate(_DELIMITERS)).strip()
    return flat if len(flat) <= longest else flat[: longest - 1].rstrip() + "…"


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A piece of running text at one place: a paragraph, a list item, a table row, the text of a page."""

    place: Place
    text: str
    heading: bool = False  # of a document that is cited by page, where headings are no places


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document that was read."""

    name: str  # as in citations; unique among the documents of one call
    kind: str  # "PDF", "Word", "HTML", "Markdown" or "text"
    passages: tuple[Passage, ...]
    places: tuple[Place, ...]  # every place a citation may name, those without text included
    pages: int | None = None  # None when the format has no pages
    remarks: tuple[str, ...] = ()  # what the reader should know: pages without text, damaged pages

    @property
    def words(self) -> int:
        return sum(len(passage.text.split()) for passage in self.passages)

    @property
    def characters(self) -> int:
        return sum(len(passage.text) for passage in self.passages)


def no_stop() -> bool:
    return False


def no_progress(_done: int, _total: int) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The ties between a reader at work in a thread and the call that waits for it."""

    limits: Limits = field(default_factory=Limits)
    stopped: Callable[[], bool] = no_stop  # asked between pages: a thread cannot be cancelled
    page: Callable[[int, int], None] = no_progress  # told (done, total) after each page

    def check(self, name: str) -> None:
        """Raises DocumentError when nobody waits for the document any more."""
        if self.stopped():
            raise DocumentError(f"Reading {name!r} was stopped.")
