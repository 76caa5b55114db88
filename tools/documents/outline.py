"""Documents without pages: passages are cited by their heading, or by number if there are no headings."""

from typing import Literal

from tools.documents.document import Document, Passage, Place, section

BEFORE_FIRST_HEADING = "Beginning"


class Outline:
    """Collects headings and passages in order. `fallback`: how passages are cited if there are no headings."""

    def __init__(self, *, fallback: Literal["line", "paragraph"]) -> None:
        self._fallback = fallback
        self._headings: list[str] = []
        self._passages: list[tuple[int, int, str]] = []  # (number of headings so far, number, text)

    def head(self, text: str) -> None:
        self._headings.append(text)

    def add(self, text: str, number: int | None = None) -> None:
        """Adds a passage. `number`: its first line; by default its ordinal."""
        if text.strip():
            self._passages.append((len(self._headings), number or len(self._passages) + 1, text))

    def document(self, name: str, kind: str, lines: int = 0) -> Document:
        if self._headings:
            places = self._sections()
            passages = [Passage(place=places[under], text=text) for under, _, text in self._passages]
            named = places if any(under == 0 for under, _, _ in self._passages) else places[1:]
            return Document(name=name, kind=kind, passages=tuple(passages), places=tuple(named))
        last = max(lines, max((number for _, number, _ in self._passages), default=0))
        passages = [
            Passage(place=Place(kind=self._fallback, number=number), text=text) for _, number, text in self._passages
        ]
        numbered = tuple(Place(kind=self._fallback, number=number) for number in range(1, last + 1))
        return Document(name=name, kind=kind, passages=tuple(passages), places=numbered)

    def _sections(self) -> list[Place]:
        titles = [BEFORE_FIRST_HEADING, *self._headings]
        return [section(number, title) for number, title in enumerate(titles)]
