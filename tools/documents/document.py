"""A document that was read: passages in order, each with its place."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from toolkit import ToolError

PlaceKind = Literal["page", "section", "line", "paragraph"]

# Brackets and semicolons delimit citations, so headings and file names in citations must not contain them.
_DELIMITERS = str.maketrans({"[": "(", "]": ")", ";": ",", "\n": " "})
_MAX_TITLE = 80


class DocumentError(ToolError):
    """The document cannot be read. The message is a sentence for the user who sent it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one call. Larger documents are refused with a sentence, never cut off."""

    files: int = 20
    bytes_per_file: int = 200_000_000
    pages: int = 3_000
    """Maximum of all documents together."""
    characters: int = 5_000_000
    """Maximum of all documents together: about 700 chunks, a night's work for a model."""
    unpacked_bytes: int = 256_000_000
    """Maximum unpacked size of a .docx, which is a zip archive."""
    unpacked_xml_bytes: int = 48_000_000
    """Maximum size of its XML, which takes about ten times as much memory when parsed."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a passage. `number` counts from 1 in the order of the document."""

    kind: PlaceKind
    number: int
    title: str = ""
    """The title of a section."""

    @property
    def label(self) -> str:
        """The place in a citation: `p. 3`, `§ Findings`, `line 40`, `¶ 7`."""
        if self.kind == "section":
            return f"§ {self.title}"
        return f"{_ONE[self.kind]} {self.number}"


_ONE = {"page": "p.", "line": "line", "paragraph": "¶"}
_MANY = {"page": "pp.", "line": "lines", "paragraph": "¶¶"}


def section(number: int, title: str) -> Place:
    return Place(kind="section", number=number, title=quotable(title, _MAX_TITLE) or f"Section {number}")


def range_label(first: Place, last: Place) -> str:
    """Returns the label of a range: `pp. 3–5`; for sections, both titles."""
    if first == last:
        return first.label
    if first.kind == "section":
        return f"{first.label}; {last.label}"
    return f"{_MANY[first.kind]} {first.number}–{last.number}"


def quotable(text: str, max_characters: int) -> str:
    """Returns `text` on one line, without the delimiters of citations, cut to `max_characters`."""
    flat = re.sub(r"\s+", " ", text.translate(_DELIMITERS)).strip()
    return flat if len(flat) <= max_characters else flat[: max_characters - 1].rstrip() + "…"


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A piece of running text at one place: a paragraph, a list item, a table row, the text of a page."""

    place: Place
    text: str
    heading: bool = False
    """True only in documents cited by page, in which headings are not places."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One document."""

    name: str
    """The name in citations; unique among the documents of one call."""
    kind: str
    """"PDF", "Word", "HTML", "Markdown" or "text"."""
    passages: tuple[Passage, ...]
    places: tuple[Place, ...]
    """All places that may be cited, including those without text."""
    pages: int | None = None
    """None when the format has no pages."""
    remarks: tuple[str, ...] = ()
    """Sentences for the user: pages without text, damaged pages."""

    @property
    def words(self) -> int:
        return sum(len(passage.text.split()) for passage in self.passages)

    @property
    def beginning(self) -> str:
        """Enough of the text to recognise its language."""
        return "\n".join(passage.text for passage in self.passages[:40])

    @property
    def characters(self) -> int:
        return sum(len(passage.text) for passage in self.passages)


def no_stop() -> bool:
    return False


def no_progress(_done: int, _total: int) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Connects a reader in a thread with the call that waits for it."""

    limits: Limits = field(default_factory=Limits)
    stopped: Callable[[], bool] = no_stop
    """Called between pages, because a thread cannot be cancelled."""
    page: Callable[[int, int], None] = no_progress
    """Called with (done, total) after each page."""

    def check(self, name: str) -> None:
        """Raises DocumentError when the call was cancelled."""
        if self.stopped():
            raise DocumentError(f"Reading {name!r} was stopped.")
