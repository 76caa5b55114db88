"""Documents cut into chunks of the size a model reads in one call; every sentence carries its citation."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tools.documents.document import Document, Place, range_label
from tools.documents.sentences import sentences

# About 1,700 tokens: small enough for any model's context and for one checkpoint to be a small loss,
# large enough that a 500-page book is some 150 calls and not a thousand.
CHUNK_CHARACTERS = 7_000

_FULL_STOP = re.compile(r"""[.!?…。！？]["'”’»)\]]*$""")


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A stretch of one document."""

    document: str  # its name
    first: Place
    last: Place
    material: str  # one sentence to a line, each with its citation: `The lamp was lit at dusk [p. 3].`

    @property
    def label(self) -> str:
        return range_label(self.first, self.last)


def cite(sentence: str, citation: str) -> str:
    """The sentence with its citation inside the final punctuation, where no splitter can part the two."""
    end = _FULL_STOP.search(sentence)
    if end is None:
        return f"{sentence} [{citation}]."
    return f"{sentence[: end.start()]} [{citation}]{end.group()}"


def cut(documents: Iterable[Document], *, named: bool, characters: int = CHUNK_CHARACTERS) -> list[Chunk]:
    """The documents as chunks of about `characters`, in order; no chunk spans two documents.

    `named`: citations carry the document's name, as they must when there are several.
    """
    return [chunk for document in documents for chunk in _cut_one(document, named, characters)]


def _cut_one(document: Document, named: bool, characters: int) -> Iterator[Chunk]:
    lines: list[str] = []
    size = 0
    first = last = document.passages[0].place
    for place, line in _lines(document, named):
        if lines and size + len(line) > characters:
            yield Chunk(document=document.name, first=first, last=last, material="\n".join(lines))
            lines, size, first = [], 0, place
        lines.append(line)
        size += len(line) + 1
        last = place
    if lines:
        yield Chunk(document=document.name, first=first, last=last, material="\n".join(lines))


def _lines(document: Document, named: bool) -> Iterator[tuple[Place, str]]:
    prefix = f"{document.name} " if named else ""
    for passage in document.passages:
        citation = prefix + passage.place.label
        for sentence in sentences(passage.text):
            yield passage.place, cite(sentence, citation)
