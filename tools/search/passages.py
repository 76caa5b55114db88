"""Cuts documents into passages for the index: short enough to quote, each at one place or a short range of places."""

from collections.abc import Iterator

from tools.documents import Document, Place
from tools.documents import Passage as Block
from tools.documents.sentences import sentences
from tools.search.index import MAX_PASSAGE, Passage

_GOOD_LENGTH = 900
"""Characters; a few paragraphs, so that one passage can hold all words of a question."""


def cut_passages(document: Document) -> Iterator[Passage]:
    """Yields passages in order. None spans two pages or sections; they end with a sentence where possible."""
    held: list[str] = []
    first = last = document.passages[0].place
    for block in document.passages:
        for piece in _pieces(block):
            if held and (not _together(first, block.place) or _length(held) + len(piece) > _GOOD_LENGTH):
                yield Passage(place=_label(first, last), text="\n".join(held))
                held = []
            if not held:
                first = block.place
            held.append(piece)
            last = block.place
    if held:
        yield Passage(place=_label(first, last), text="\n".join(held))


def _pieces(block: Block) -> Iterator[str]:
    """Yields the block's text if it fits into one passage, else groups of sentences that fit."""
    text = block.text.strip()
    if len(text) <= _GOOD_LENGTH:
        if text:
            yield text
        return
    held = ""
    for sentence in sentences(text):
        if held and len(held) + len(sentence) >= _GOOD_LENGTH:
            yield held
            held = ""
        held = f"{held} {sentence}" if held else sentence
    if held:
        yield held


def _together(first: Place, place: Place) -> bool:
    """Whether both places may share a passage: lines and paragraphs may, pages and sections may not."""
    return first == place or first.kind in ("line", "paragraph")


def _length(held: list[str]) -> int:
    return sum(map(len, held)) + len(held)


def _label(first: Place, last: Place) -> str:
    """Returns the place in words: `page 12`, `lines 40–52`; for a section, its title."""
    if first.kind == "section":
        return first.label
    if first == last:
        return f"{first.kind} {first.number}"
    return f"{first.kind}s {first.number}–{last.number}"


assert _GOOD_LENGTH <= MAX_PASSAGE
