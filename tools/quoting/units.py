"""Documents as sentences, items and rows that know their heading and place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from language.ranking import Unit
from language.sentences import flat, is_item, is_row, paragraphs, sentences
from tools.documents.document import Document, Place

_MAX_HEADING = 90
_RULE = re.compile(r"^[\s|:=+_*~-]*$")
_HEAD_RULE = re.compile(r"^\|?\s*:?-{3}[\s|:-]*$")
"""The line of Markdown below the head of a table."""
_ENDS = re.compile(r"[.!?;,。！？；，]$")
_MARK = re.compile(r"^(?:[-*+•–]\s+)+")
_NUMBERED = re.compile(r"^(?:§\s*)?\d{1,2}(?:\.\d{1,2})*[.)]?\s+\S")


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """The sentences of some documents, in order, and the place of each."""

    units: Sequence[Unit]
    places: Sequence[Place]

    def block(self, index: int) -> list[int]:
        """Returns the indexes of the sentence's paragraph."""
        block = self.units[index].block
        first = last = index
        while first > 0 and self.units[first - 1].block == block:
            first -= 1
        while last + 1 < len(self.units) and self.units[last + 1].block == block:
            last += 1
        return [*range(first, last + 1)]


def sentences_of(documents: Sequence[Document], language: str) -> Sentences:
    """Returns what the documents say, without tables of contents and running heads."""
    units: list[Unit] = []
    places: list[Place] = []
    block = 0
    for number, document in enumerate(documents):
        for piece in _pieces(document):
            block += 1
            for sentence in sentences(piece.text, language) if piece.runs else [piece.text]:
                if not re.search(r"\w", sentence):
                    continue
                units.append(Unit(text=sentence, heading=piece.heading, block=block, document=number))
                places.append(piece.place)
    return Sentences(units=units, places=places)


@dataclass(frozen=True, kw_only=True)
class _Piece:
    text: str
    heading: str
    place: Place
    runs: bool
    """Whether it is running text, not an item or a row."""


def _pieces(document: Document) -> Iterator[_Piece]:
    heading = ""
    for passage in document.passages:
        if passage.place.kind == "section":
            heading = passage.place.title
        if passage.heading:
            heading = flat(passage.text)
            continue
        lines = [flat(line) for line in paragraphs(passage.text)]
        rows = _named_rows(lines)
        for position, line in enumerate(lines):
            if position in rows or _RULE.match(line):
                if row := rows.get(position):
                    yield _Piece(text=row, heading=heading, place=passage.place, runs=False)
                continue
            follows = position + 1 < len(lines) or passage.place.kind in {"line", "page"}
            if passage.place.kind != "section" and follows and _is_heading(line):
                heading = line.rstrip(":")
                if not _NUMBERED.match(line):
                    continue
            text = _MARK.sub("", line)
            runs = not is_row(line) and (not is_item(line) or len(line) > _MAX_HEADING)
            yield _Piece(text=text, heading=heading, place=passage.place, runs=runs)


def _named_rows(lines: Sequence[str]) -> dict[int, str]:
    """Returns the rows below a Markdown table's head, with the name of each column; empty for the head itself.

    Only the rule below it makes a row a head. Rows with more or fewer cells are left as they are.
    """
    named: dict[int, str] = {}
    columns: list[str] = []
    for position, line in enumerate(lines):
        if not is_row(line):
            columns = [] if not _RULE.match(line) else columns
        elif position + 1 < len(lines) and _HEAD_RULE.match(lines[position + 1]):
            columns, named[position] = _cells(line), ""
        elif columns and len(cells := _cells(line)) == len(columns) and not _RULE.match(line):
            named[position] = _row(columns, cells)
    return named


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _row(columns: Sequence[str], cells: Sequence[str]) -> str:
    """Returns the row with the name of each column: `Action: … · Owner: … · Due: …`."""
    return " · ".join(f"{name}: {cell}" if name else cell for name, cell in zip(columns, cells, strict=True) if cell)


def _is_heading(line: str) -> bool:
    if is_row(line) or len(line) > _MAX_HEADING or len(line.split()) > 12:
        return False
    return line.endswith(":") or not _ENDS.search(line)
