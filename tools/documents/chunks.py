"""Cuts documents into chunks that a model reads in one call; every sentence has its citation."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from language.terms import language_of
from tools.documents.document import Document, Place, range_label
from tools.documents.sentences import sentences

# About 1,700 tokens: small enough for any model's context and for little loss after a crash, large enough that a
# 500-page book takes about 150 calls and not a thousand.
CHUNK_CHARACTERS = 7_000

_FULL_STOP = re.compile(r"""[.!?…。！？]["'”’»)\]]*$""")


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A range of one document."""

    document: str
    """The document's name."""
    first: Place
    last: Place
    material: str
    """One sentence a line, each with its citation: `The lamp was lit at dusk [p. 3].`"""

    @property
    def label(self) -> str:
        return range_label(self.first, self.last)


def cite(sentence: str, citation: str) -> str:
    """Returns the sentence with its citation before the final punctuation, so that sentence splitters keep both."""
    end = _FULL_STOP.search(sentence)
    if end is None:
        return f"{sentence} [{citation}]."
    return f"{sentence[: end.start()]} [{citation}]{end.group()}"


def cite_heading(title: str, citation: str) -> str:
    """Returns a heading with its citation and a colon, which marks it as a heading and not a claim."""
    return f"{title.rstrip(':')} [{citation}]:"


def cut(documents: Iterable[Document], *, named: bool, characters: int = CHUNK_CHARACTERS) -> list[Chunk]:
    """Returns the documents as chunks of about `characters`, in order; no chunk spans two documents.

    `named`: citations include the document's name, which is needed when there are several documents.
    """
    return [chunk for document in documents for chunk in _cut_one(document, named, characters)]


def _cut_one(document: Document, named: bool, characters: int) -> Iterator[Chunk]:
    cited = list(_lines(document, named))
    total = sum(len(line) for _, line in cited)
    # Cut into equal parts: a short last chunk would cost a call and weigh as much as twenty pages.
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
    language = language_of(document.beginning)
    for passage in document.passages:
        citation = prefix + passage.place.label
        if passage.heading:
            yield passage.place, cite_heading(passage.text, citation)
            continue
        for sentence in sentences(passage.text, language):
            yield passage.place, cite(sentence, citation)
