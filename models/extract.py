"""Summaries without a language model: the most central sentences of a text, verbatim and in their order.

Centrality is the cosine between a sentence's TF-IDF vector and the mean of all (Radev et al., centroid-based
summarisation, 2004); near-duplicates are skipped by maximal marginal relevance (Carbonell and Goldstein, 1998).
The functions are CPU-bound: call them in a thread. scikit-learn is imported when the first text is ranked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MAX_SENTENCES = 3_000
MIN_CHARACTERS, MAX_CHARACTERS = 25, 500
"""Bounds in characters of a sentence that is informative by itself."""
LEAD_BONUS = 0.15
FOCUS_WEIGHT = 2.0
REPETITION_WEIGHT = 0.9

NUMBERS = {"three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "ten": 10, "twelve": 12, "fifteen": 15}

_BRACKET = re.compile(r"\[[^\[\]\n]{1,300}\]")
_END = re.compile(r"(?<=[.!?…])[\"'”’»)]*\s+(?=[\"'“‘«(\[]?[^\W_a-z])|(?<=[。！？])|\n")
_CITED_BEHIND = re.compile(r"([.!?…][\"'”’»)]*)\s+(\[\S+\])\s*")
_LEAD = re.compile(r"^\s*(?:[-*•+]\s+|\d{1,3}[.)]\s+|#{1,6}\s+|>\s+)+")
_ABBREVIATION = re.compile(r"\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|Nos|Fig|Figs|Eq|vs|cf|e\.g|i\.e|approx|al|[A-Z])\.$")
_HIDDEN = "\x00"


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One sentence, with its citation at the end, such as `[p. 3]`."""

    text: str

    @property
    def bare(self) -> str:
        return _BRACKET.sub("", self.text)

    @property
    def telling(self) -> bool:
        return MIN_CHARACTERS <= len(self.bare) <= MAX_CHARACTERS and not self.text.endswith(":")


def sentences(text: str) -> list[Sentence]:
    found: list[Sentence] = []
    cited = ""  # a citation at the start of a line applies to the sentences after it
    for line in text.splitlines():
        line = _LEAD.sub("", line).strip()
        opening = _BRACKET.match(line)
        if opening:
            cited, line = opening.group(), line[opening.end() :].strip()
        for piece in _split(line):
            found.append(Sentence(text=piece if not cited or _BRACKET.search(piece) else f"{piece} {cited}"))
            if len(found) == MAX_SENTENCES:
                return found
    return found


def key_sentences(text: str, count: int, *, focus: str = "") -> list[Sentence]:
    """Returns at most `count` sentences, in the order of the text."""
    candidates = sentences(text)
    candidates = [one for one in candidates if one.telling] or candidates
    return [candidates[index] for index in sorted(_choose(candidates, count, focus))]


def follow_instruction(instruction: str, material: str) -> str:
    """Follows a tool's instruction without a language model, by choosing sentences of the material."""
    focus = _focus(instruction)
    nothing = re.search(r"answer only: ([A-Z ]+)", instruction)
    if nothing and focus and not _bears_on(material, focus):
        return nothing.group(1).strip()
    if not re.search(r"summar|condense|bullet|key point|notes?\b", instruction, re.IGNORECASE):
        return " ".join(one.text for one in key_sentences(material, 2, focus=focus or instruction))
    return summary(material, points=_points(instruction), opening="paragraph" in instruction, focus=focus)


def summary(material: str, *, points: int, opening: bool, focus: str = "") -> str:
    """Returns Markdown bullet points; with `opening`, below a paragraph of the two most central sentences."""
    available = len(sentences(material))
    chosen = key_sentences(material, min(points, max(3, available // 3)), focus=focus)
    if not opening or len(chosen) < 4:
        return "\n".join(f"- {one.text}" for one in chosen)
    lead = [chosen[index] for index in sorted(_choose(chosen, 2, focus))]
    bullets = [f"- {one.text}" for one in chosen if one not in lead]
    return "\n".join([" ".join(one.text for one in lead), "", *bullets])


def _split(line: str) -> Iterator[str]:
    """Yields the sentences of a line. A citation after a full stop belongs to the sentence before it."""
    hidden = _BRACKET.sub(lambda match: match.group().replace(" ", _HIDDEN), line.replace(_HIDDEN, ""))
    hidden = _CITED_BEHIND.sub(rf"\1{_HIDDEN}\2\n", hidden)
    whole = ""
    for piece in filter(None, map(str.strip, _END.split(hidden))):
        if whole and not _ABBREVIATION.search(whole):
            yield whole.replace(_HIDDEN, " ")
            whole = ""
        whole = f"{whole} {piece}".strip()
    if whole:
        yield whole.replace(_HIDDEN, " ")


def _choose(candidates: Sequence[Sentence], count: int, focus: str) -> list[int]:
    """Returns indexes, those of the most central sentences first."""
    if len(candidates) <= count:
        return list(range(len(candidates)))
    vectors, focused = _vectors([one.bare for one in candidates], focus)
    if vectors is None:
        return list(range(count))
    return _pick(vectors, focused, count)


def _pick(vectors: Any, focused: Any, count: int) -> list[int]:
    import numpy as np

    centroid = np.asarray(vectors.mean(axis=0)).ravel()
    norm = float(np.linalg.norm(centroid)) or 1.0
    weight = vectors @ (centroid / norm) + LEAD_BONUS / (1 + np.arange(vectors.shape[0]))
    weight = weight + FOCUS_WEIGHT * focused
    repetition = np.zeros(vectors.shape[0])
    chosen: list[int] = []
    while len(chosen) < count:
        gain = weight - REPETITION_WEIGHT * repetition
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        similarity = (vectors @ vectors[chosen[-1]].T).toarray().ravel()
        repetition = np.maximum(repetition, similarity)
    return chosen


def _vectors(texts: list[str], focus: str) -> tuple[Any, Any]:
    """Returns TF-IDF rows of unit length and their similarity to the focus; (None, None) for texts without words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    try:
        vectors = vectorizer.fit_transform(texts)
    except ValueError:
        return None, None
    return vectors, (vectors @ vectorizer.transform([focus]).T).toarray().ravel()


def _bears_on(material: str, focus: str) -> bool:
    _, focused = _vectors([one.bare for one in sentences(material)] or [""], focus)
    return focused is not None and bool(focused.any())


def _focus(instruction: str) -> str:
    """Returns the last quotation in an instruction, which holds the user's words."""
    quoted = re.findall(r"(['\"])(.{2,1000})\1(?=[\s.,]|$)", instruction)
    return quoted[-1][1] if quoted else ""


def _points(instruction: str) -> int:
    stated = re.findall(r"at most (\w+)|(\w+) most important", instruction)
    numbers = [NUMBERS.get(word) or (int(word) if word.isdecimal() else 0) for pair in stated for word in pair if word]
    return max([number for number in numbers if number] or [8])
