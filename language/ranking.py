"""Which passages answer a question: those that share its words, and say what it asks for."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from language.cues import LISTED, Want, says, wants_of, without_cues
from language.function_words import GENERIC
from language.terms import Terms, words_of

BESIDE, ABOVE = 0.45, 0.6
"""How much a word of the question counts in the neighbouring sentence and in the heading, compared to the own one."""
FOUND_BONUS = 0.45
"""The bonus of a sentence that looks like the requested kind of answer."""
PHRASE_BONUS = 0.15
"""The bonus for each word pair that it shares with the question, for at most two pairs."""
NAMED = 0.3
"""How much a word counts that may only say which document is meant."""
MIN_SHARE = 0.5
"""Of the best score, which a passage must reach."""
_JOINED = re.compile(
    r"[,;?]?\s+(?:and|und)\s+(?=(?:by|till|until|since|from|at|for|bis|ab|seit|zu|für|mit)?\s*"
    r"(?:who|when|how|what|why|where|which|wer|wem|wann|wie|was|wofür|warum|weshalb|wo|welche[mnrs]?)\b)"
    r"|[,;?]\s+(?=(?:by|till|until|zu|bis|ab)?\s*(?:who|when|how|why|where|wer|wann|wie|warum|wo|welchem)\b)",
    re.IGNORECASE,
)
_LISTED_MOST = 14
_TOPICAL = 0.35
"""Below this share, what is asked for has nothing to do with the topic, and all of its kind is told."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A sentence, an item of a list or a row of a table, with what surrounds it."""

    text: str
    heading: str
    block: int
    """Units of one paragraph, list or table share it."""
    document: int = 0


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question, and what it asks for."""

    words: str
    wants: frozenset[Want]
    topic: tuple[str, ...]
    """The terms of what it is about."""
    named: frozenset[str] = frozenset()
    """Those of them that may only say which document is meant."""
    phrases: tuple[str, ...] = ()
    """Each two words that stand side by side and are not both function words."""

    @classmethod
    def of(cls, words: str, terms: Terms, *, known: str = "") -> Question:
        """known: words that say which document is meant, such as its name."""
        wants = wants_of(words)
        generic = {term for word in GENERIC for term in terms.of(word)}
        about = terms.of(without_cues(words)) if wants & LISTED else terms.of(words)
        topic = [term for term in dict.fromkeys(about) if term not in generic]
        names = terms.of(known)
        return cls(
            words=words,
            wants=wants,
            topic=tuple(topic or (() if wants & LISTED else about)),
            named=frozenset(term for term in topic if terms.like(term, names)),
            phrases=tuple(f"{one} {two}" for one, two in pairwise(words_of(words)) if terms.of(one) or terms.of(two)),
        )

    def parts(self, terms: Terms) -> list[Question]:
        """Returns the joined questions about one subject, as in `Who repairs it, and by when?`."""
        pieces = [piece.strip() for piece in _JOINED.split(self.words) if piece.strip()]
        if len(pieces) < 2:
            return [self]
        found = [replace(Question.of(piece, terms), named=self.named) for piece in pieces]
        return [part if len(part.topic) > 1 else replace(part, topic=self.topic) for part in found]


def best(question: Question, units: Sequence[Unit], terms: Terms, *, limit: int) -> list[int]:
    """Returns the indexes of the units that answer the question, the best ones first; none if nothing bears on it.

    Asked for decisions, actions, risks or who was there, and nothing more, all that look like one come in their order.
    """
    said = [{want for want in question.wants if says(want, unit.text, unit.heading)} for unit in units]
    listed = {index for index, wants in enumerate(said) if wants & LISTED}
    shares = _shares(question, units, terms)
    if listed and max(shares[index] for index in listed) < _TOPICAL:
        return sorted(listed)[:_LISTED_MOST]
    scores = [
        share
        + (FOUND_BONUS * len(wants) / max(1, len(question.wants)) + _phrased(question, unit)) * min(1.0, 2 * share)
        for share, unit, wants in zip(shares, units, said, strict=True)
    ]
    if listed:
        scores = [score if index in listed else 0.5 * score for index, score in enumerate(scores)]
    order = sorted(
        (index for index, score in enumerate(scores) if score > 0), key=lambda index: (-scores[index], index)
    )
    if not order:
        return []
    least = MIN_SHARE * scores[order[0]]
    return [index for index in order if scores[index] >= least][:limit]


def _phrased(question: Question, unit: Unit) -> float:
    text = " ".join(words_of(unit.text))
    return min(2, sum(f" {phrase} " in f" {text} " for phrase in question.phrases)) * PHRASE_BONUS


def _shares(question: Question, units: Sequence[Unit], terms: Terms) -> list[float]:
    """Returns for each unit which share of the topic it has, weighed by how rare the words are; 0 to about 1."""
    topic = question.topic
    own = [Counter(terms.of(unit.text)) for unit in units]
    above = [frozenset(terms.of(unit.heading)) for unit in units]
    vocabulary = frozenset(term for one in own for term in one) | frozenset(term for one in above for term in one)
    near = {term: terms.like(term, vocabulary) for term in topic}
    weights = {term: _rarity(near[term], own, above) * (NAMED if term in question.named else 1.0) for term in topic}
    whole = sum(weights.values()) or 1.0
    matches = [{term: _match(near[term], one) for term in topic} for one in own]
    beside = _beside(units, matches)
    found = []
    for index in range(len(units)):
        share = 0.0
        for term in topic:
            heading = ABOVE * _match(near[term], above[index])
            share += weights[term] * max(matches[index][term], heading, BESIDE * beside[index].get(term, 0.0))
        found.append(share / whole)
    return found


def _match(near: Mapping[str, float], present: Iterable[str]) -> float:
    return max((near[term] for term in present if term in near), default=0.0)


def _rarity(near: Mapping[str, float], own: Sequence[Iterable[str]], above: Sequence[Iterable[str]]) -> float:
    close = {term for term, weight in near.items() if weight >= 0.6}
    count = sum(
        1 for one, head in zip(own, above, strict=True) if not close.isdisjoint(one) or not close.isdisjoint(head)
    )
    return math.log(1 + (len(own) + 1) / (count + 0.5)) if count else 0.5  # a word that is nowhere says little


def _beside(units: Sequence[Unit], matches: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Returns the matches of each unit's neighbours in its paragraph or list."""
    found: list[dict[str, float]] = [{} for _ in units]
    for first, second in pairwise(range(len(units))):
        if units[first].block != units[second].block:
            continue
        for here, there in ((first, second), (second, first)):
            for term, weight in matches[there].items():
                found[here][term] = max(found[here].get(term, 0.0), weight)
    return found
