"""The differences between two documents, sentence by sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from language.terms import language_of, words_of
from tools.documents.document import Document, Place
from tools.quoting.units import sentences_of

_SIMILAR = 0.5
"""Share of common words, in order, from which on two sentences are versions of one."""
_MAX_WORDS = 60
"""Of a sentence that are compared."""
_MAX_COMPARED = 200
"""Sentences of one document alone that are compared with those of the other; more are listed as they are."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A sentence, with its place."""

    text: str
    heading: str
    place: Place


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The differences between two documents."""

    changed: Sequence[tuple[Said, Said]]
    only_first: Sequence[Said]
    only_second: Sequence[Said]
    paired: bool
    """Whether changed sentences were looked for; there may be too many that stand in one document only."""
    common: int
    """How many sentences stand in both."""


def changes_between(first: Document, second: Document) -> Changes:
    """CPU-bound: call it in a thread."""
    language = language_of(first.beginning)
    said = [[*_said(document, language)] for document in (first, second)]
    known = [frozenset(map(_key, one)) for one in said]
    alone = [[one for one in said[side] if _key(one) not in known[1 - side]] for side in (0, 1)]
    pairs = _pairs(alone[0], alone[1])
    paired = ({id(pair[0]) for pair in pairs}, {id(pair[1]) for pair in pairs})
    return Changes(
        changed=pairs,
        paired=max(map(len, alone)) <= _MAX_COMPARED,
        only_first=[one for one in alone[0] if id(one) not in paired[0]],
        only_second=[one for one in alone[1] if id(one) not in paired[1]],
        common=len(known[0] & known[1]),
    )


def _said(document: Document, language: str) -> Iterator[Said]:
    """Yields headings and sentences, in order."""
    found = sentences_of([document], language)
    heading = ""
    for unit, place in zip(found.units, found.places, strict=True):
        if unit.heading != heading:
            heading = unit.heading
            yield Said(text=heading, heading="", place=place)
        yield Said(text=unit.text, heading=heading, place=place)


def _key(said: Said) -> str:
    return " ".join(said.text.casefold().split())


def _pairs(first: Sequence[Said], second: Sequence[Said]) -> list[tuple[Said, Said]]:
    """Returns the versions of one sentence, most similar ones first chosen, in the order of the first document."""
    if max(len(first), len(second)) > _MAX_COMPARED:
        return []
    words = [[[*words_of(one.text)][:_MAX_WORDS] for one in side] for side in (first, second)]
    likeness = []
    for here, before in enumerate(words[0]):
        matcher = SequenceMatcher(b=before, autojunk=False)
        for there, after in enumerate(words[1]):
            if not _SIMILAR <= len(before) / max(1, len(after)) <= 1 / _SIMILAR:
                continue
            matcher.set_seq1(after)
            if matcher.quick_ratio() >= _SIMILAR and (ratio := matcher.ratio()) >= _SIMILAR:
                likeness.append((ratio, here, there))
    taken: tuple[set[int], set[int]] = (set(), set())
    chosen = []
    for _, here, there in sorted(likeness, key=lambda one: -one[0]):
        if here not in taken[0] and there not in taken[1]:
            taken[0].add(here)
            taken[1].add(there)
            chosen.append((here, there))
    return [(first[here], second[there]) for here, there in sorted(chosen)]
