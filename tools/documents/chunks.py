"""Documents cut into chunks of the size a model reads in one call; every sentence carries its citation."""

import math
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


def cite_heading(title: str, citation: str) -> str:
    """A heading announces and claims nothing, which a colon says to any reader of the material."""
    return f"{title.rstrip(':')} [{citation}]:"


def cut(documents: Iterable[Document], *, named: bool, characters: int = CHUNK_CHARACTERS) -> list[Chunk]:
    """The documents as chunks of about `characters`, in order; no chunk spans two documents.

    `named`: citations carry the document's name, as they must when there are several.
    """
    return [chunk for document in documents for chunk in _cut_one(document, named, characters)]


def _cut_one(document: Document, named: bool, characters: int) -> Iterator[Chunk]:
    cited = list(_lines(document, named))
    total = sum(len(line) for _, line in cited)
    # Even parts: a last chunk of three sentences would cost a call, and give them the weight of twenty pages.
    parts = math.ceil(total / characters)
    begun, seen, made = 0, 0, 0
    for index, (_, line) in enumerate(cited):
        seen += len(line)
        if seen >= total * (made + 1) / parts:
            yield _chunk(document.name, cited[begun : index + 1])
            begun, made = index + 1, made + 1


def _chunk(name: str, cited: list[tuple[Place, str]]) -> Chunk:
    material = "\n".join(line for _, line in cited)
    return Chunk(document=name, first=cited[0][0], last=cited[-1][0], material=material)


def _lines(document: Document, named: bool) -> Iterator[tuple[Place, str]]:
    prefix = f"{document.name} " if named else ""
    for passage in document.passages:
        citation = prefix + passage.place.label
        if passage.heading:
            yield passage.place, cite_heading(passage.text, citation)
            continue
        for sentence in sentences(passage.text):
            yield passage.place, cite(sentence, citation)
