"""The passages that answer a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from language.ranking import Question, best
from language.terms import Terms, language_of
from tools.documents.document import Document, Place
from tools.quoting.units import Sentences, sentences_of

_MAX_CHARACTERS = 1_200
"""Of what looks like one sentence, such as a table without punctuation."""
_WHOLE_CHARACTERS = 420
"""A paragraph of at most this length is quoted whole, so that its sentences are understood."""


@dataclass(frozen=True, kw_only=True)
class Quote:
    """A passage, word for word."""

    document: int
    place: Place
    sentences: Sequence[str]
    telling: frozenset[int]
    """Which of the sentences answer the question; the others are around them."""


def quotes_for(words: str, documents: Sequence[Document], *, limit: int) -> list[Quote]:
    """Returns the passages that answer the question, best first. CPU-bound: call it in a thread."""
    terms = Terms(language_of(documents[0].beginning))
    found = sentences_of(documents, terms.language)
    question = Question.of(words, terms, known=" ".join(document.name.rpartition(".")[0] for document in documents))
    chosen = [best(part, found.units, terms, limit=limit) for part in question.parts(terms)]
    in_turn = [index for places in zip_longest(*chosen) for index in places if index is not None]
    return _joined([*dict.fromkeys(in_turn)], found)[: max(limit, *(len(one) for one in chosen))]


def _joined(chosen: Sequence[int], found: Sentences) -> list[Quote]:
    """Returns a quote for each paragraph that has a chosen sentence, in the order of their best ones."""
    quotes: list[Quote] = []
    done: set[int] = set()
    said: set[str] = set()
    for index in chosen:
        block = found.block(index)
        text = found.units[index].text.casefold()
        if found.units[index].block in done or text in said:
            continue
        done.add(found.units[index].block)
        said.add(text)
        telling = {one for one in chosen if one in block}
        shown = _around(block, telling, found)
        quotes.append(
            Quote(
                document=found.units[index].document,
                place=found.places[index],
                sentences=[_cut(found.units[one].text) for one in shown],
                telling=frozenset(position for position, one in enumerate(shown) if one in telling),
            )
        )
    return quotes


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]} …"


def _around(block: Sequence[int], telling: set[int], found: Sentences) -> list[int]:
    if sum(len(found.units[one].text) for one in block) <= _WHOLE_CHARACTERS:
        return list(block)
    first, last = min(telling), max(telling)
    near = [one for one in block if first - 1 <= one <= last + 1]
    return near if sum(len(found.units[one].text) for one in near) <= 2 * _WHOLE_CHARACTERS else sorted(telling)
