"""Checks the citations in a model's text against the documents: repairs those with a clear meaning, drops the others.

The forms are `[p. 3]`, `[pp. 3–5]`, `[§ Findings]`, `[line 40]`, `[¶ 7]`, preceded by the document's name when there
are several: `[report.pdf p. 12]`. Models also write `[page 3]`, `[p.3, 5]`, `[P. 3; p. 9]`: those are repaired.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tools.documents.document import Document, Place, PlaceKind, range_label

_BRACKET = re.compile(r"[ \t]?\[([^\[\]\n]{1,300})\](?!\()")
"""Square brackets that are not a Markdown link."""
_NUMBERED = re.compile(
    r"(?P<kind>pages?|pp?\b\.?|lines?|ll?\b\.|paragraphs?|para\.?|¶+)\s*(?P<numbers>\d[\d\s,–—&-]*(?:(?:and|to)[\d\s,–—&-]+)*)",
    re.IGNORECASE,
)
_SECTION = re.compile(r"(?:§+|section:?)\s*(?P<title>\S.*)", re.IGNORECASE)
_RANGE = re.compile(r"(\d{1,9})\s*(?:[–—-]|to)\s*(\d{1,9})|(\d{1,9})", re.IGNORECASE)
_MIN_RATIO = 0.85
"""Minimum difflib ratio: accepts a heading with a wrong letter, not another heading."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Text in which every citation refers to a place that exists."""

    text: str
    kept: int
    dropped: int


@dataclass(kw_only=True)
class Citations:
    """All places that may be cited. `named`: citations include the document's name."""

    documents: Iterable[Document]
    named: bool
    _places: dict[str, dict[tuple[PlaceKind, int], Place]] = field(init=False)
    _sections: dict[str, dict[str, Place]] = field(init=False)

    def __post_init__(self) -> None:
        self.documents = list(self.documents)
        self._places = {one.name: {(place.kind, place.number): place for place in one.places} for one in self.documents}
        self._sections = {
            one.name: {place.title.casefold(): place for place in reversed(one.places) if place.kind == "section"}
            for one in self.documents
        }

    def check(self, text: str) -> Checked:
        """Returns `text` with its citations normalised, without those that refer to no place."""
        kept = dropped = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal kept, dropped
            labels, lost = self._labels(match.group(1))
            if not labels and not lost:
                return match.group(0)  # brackets that are not citations: [sic], [ ], [1]
            kept, dropped = kept + len(labels), dropped + lost
            lead = match.group(0)[: match.group(0).index("[")]
            return f"{lead}[{'; '.join(labels)}]" if labels else ""

        return Checked(text=_BRACKET.sub(replace, text), kept=kept, dropped=dropped)

    def cited(self, text: str) -> bool:
        """Whether `text` has a citation of a place that exists."""
        return self.check(text).kept > 0

    def _labels(self, inside: str) -> tuple[list[str], int]:
        """Returns the normalised citations in one pair of brackets, and how many refer to no place."""
        labels: list[str] = []
        lost = 0
        previous: str | None = None  # `[report.pdf p. 3; p. 9]`: the name applies to both
        for part in inside.split(";"):
            name, rest = self._name(part.strip())
            name = name or previous
            found = self._numbered(name, rest)
            if found is None:
                found = self._section(name, rest)
            if found is None:
                continue
            previous = name
            labels += [label for label in found if label and label not in labels]
            lost += found.count(None)
        return labels, lost

    def _name(self, part: str) -> tuple[str | None, str]:
        """Returns the document's name at the start of a citation, and the rest."""
        for name in sorted(self._places, key=len, reverse=True):
            rest = part[len(name) :]
            if part.casefold().startswith(name.casefold()) and (not rest or rest[0] in " ,:"):
                return name, rest.lstrip(" ,:-–")
        return None, part

    def _numbered(self, name: str | None, text: str) -> list[str | None] | None:
        """Returns labels for `p. 3, 5–7`, with None for places that do not exist; None if it is not such a citation."""
        head = _NUMBERED.search(text)
        if head is None or (head.start() > 0 and name is not None):
            return None
        if head.start() > 0 and not re.search(r"\.\w{2,5}[\s,:]+$", text[: head.start()]):
            return None  # other words before it than a file name: not a citation
        if head.start() > 0:
            return [None]  # a file that is not among the documents
        kind = _kind(head.group("kind"))
        found: list[str | None] = []
        for match in _RANGE.finditer(head.group("numbers")):
            first, last, single = match.groups()
            found.append(self._stretch(name, kind, int(single or first), int(single or last)))
        return found

    def _stretch(self, name: str | None, kind: PlaceKind, first: int, last: int) -> str | None:
        owners = [name] if name else [one for one in self._places if (kind, first) in self._places[one]]
        if len(owners) != 1:
            return None
        places = self._places[owners[0]]
        start, end = places.get((kind, first)), places.get((kind, last))
        if start is None or end is None or first > last:
            return None
        return self._qualified(owners[0], range_label(start, end))

    def _section(self, name: str | None, text: str) -> list[str | None] | None:
        marked = _SECTION.match(text)
        title = (marked.group("title") if marked else text).strip().rstrip(".").casefold()
        owners = [name] if name else list(self._sections)
        exact = [(one, self._sections[one][title]) for one in owners if title in self._sections[one]]
        if len(exact) == 1:
            return [self._qualified(exact[0][0], exact[0][1].label)]
        if marked is None:
            return [None] if name and text else None
        near = [
            (one, self._sections[one][key])
            for one in owners
            for key in difflib.get_close_matches(title, list(self._sections[one]), n=1, cutoff=_MIN_RATIO)
        ]
        return [self._qualified(near[0][0], near[0][1].label) if len(near) == 1 else None]

    def _qualified(self, name: str, label: str) -> str:
        return f"{name} {label}" if self.named else label


def _kind(word: str) -> PlaceKind:
    word = word.casefold()
    if word.startswith(("para", "¶")):
        return "paragraph"
    return "line" if word.startswith("l") else "page"
