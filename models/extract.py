"""Summaries without a language model: sentences of the text, verbatim, chosen by rules.

A sentence weighs more the closer it is to the text as a whole, which is the cosine between its TF-IDF vector and the
mean of all (Radev et al., centroid-based summarisation, 2004), and if it decides, assigns, dates or counts something.
Near-duplicates are skipped by maximal marginal relevance (Carbonell and Goldstein, 1998). The functions are CPU-bound:
call them in a thread. scikit-learn is imported when the first text is ranked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from language.cues import Want, is_formality, is_opening, says
from language.sentences import sentences as split
from language.terms import Terms, language_of

MAX_SENTENCES = 3_000
MIN_CHARACTERS, MAX_CHARACTERS = 25, 500
"""Bounds in characters of a sentence that is informative by itself."""
LEAD_BONUS = 0.25
FOCUS_WEIGHT = 2.0
REPETITION_WEIGHT = 0.9
SECTION_WEIGHT = 0.12
"""The penalty of a sentence for each chosen sentence of its section, so that a summary covers all sections."""
OPENING_BONUS = 0.3
FORMALITY_WEIGHT = 0.6
CUE_WEIGHTS = {
    Want.DECISIONS: 0.3,
    Want.AMOUNT: 0.2,
    Want.WHY: 0.1,
    Want.ACTIONS: 0.1,
    Want.RISKS: 0.1,
    Want.WHEN: 0.05,
}

NUMBERS = {"three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "ten": 10, "twelve": 12, "fifteen": 15}

_BRACKET = re.compile(r"\[[^\[\]\n]{1,300}\]")
_CITED_BEHIND = re.compile(r"([.!?…][\"'”’»)]*)\s+(\[\S[^\[\]\n]{0,300}\])[ \t]*")
_LEAD = re.compile(r"^\s*(?:[-*•+]\s+|\d{1,3}[.)]\s+|#{1,6}\s+|>\s+)+")
_HIDDEN = "\x00"


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One sentence, with its citation at the end, such as `[p. 3]`."""

    text: str

    @property
    def bare(self) -> str:
        return _BRACKET.sub("", self.text)

    @property
    def section(self) -> str:
        """The citation; sentences without one are of one section."""
        cited = _BRACKET.search(self.text)
        return cited.group() if cited else ""

    @property
    def _is_title(self) -> bool:
        return self.text.endswith(":") or self.bare.isupper()

    @property
    def telling(self) -> bool:
        return MIN_CHARACTERS <= len(self.bare) <= MAX_CHARACTERS and not self._is_title


def sentences(text: str) -> list[Sentence]:
    """Returns each sentence once."""
    found: dict[str, Sentence] = {}
    language = language_of(_BRACKET.sub("", text))
    cited = ""  # a citation at the start of a line applies to the sentences after it
    for line in text.splitlines():
        line = _LEAD.sub("", line).strip()
        opening = _BRACKET.match(line)
        if opening:
            cited, line = opening.group(), line[opening.end() :].strip()
        for piece in _split(line, language):
            sentence = Sentence(text=piece if not cited or _BRACKET.search(piece) else f"{piece} {cited}")
            found.setdefault(sentence.bare.casefold().strip(" .!?。"), sentence)
            if len(found) == MAX_SENTENCES:
                return [*found.values()]
    return [*found.values()]


def key_sentences(text: str, count: int, *, focus: str = "") -> list[Sentence]:
    """Returns at most `count` sentences, the most important ones first."""
    candidates = sentences(text)
    candidates = [one for one in candidates if one.telling] or candidates
    return [candidates[index] for index in _choose(candidates, count, focus)]


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
    """Returns Markdown bullet points in the order of the text.

    With `opening`, they come by importance, below the sentence that says what the text is about.
    """
    available = sentences(material)
    chosen = key_sentences(material, min(points, max(3, len(available) // 2)), focus=focus)
    if not opening or len(chosen) < 4:
        places = {one.text: place for place, one in enumerate(available)}
        return "\n".join(f"- {one.text}" for one in sorted(chosen, key=lambda one: places[one.text]))
    lead = _lead(available, chosen)
    bullets = [f"- {one.text}" for one in chosen if one != lead]
    return "\n".join([lead.text, "", *bullets])


def _lead(available: Sequence[Sentence], chosen: Sequence[Sentence]) -> Sentence:
    """Returns the sentence that says what the text is about: of its overview if it has one, else of its beginning."""
    overview = [one for one in chosen if is_opening(one.section)]
    early = [one for one in available[:5] if one.telling and not is_formality(one.bare)]
    return next(iter(overview), None) or next((one for one in chosen if one in early), None) or [*early, *chosen][0]


def _split(line: str, language: str) -> list[str]:
    """Returns the sentences of a line. A citation after a full stop belongs to the sentence before it."""
    found: list[str] = []
    begun = 0
    for cited in _CITED_BEHIND.finditer(line):
        found += _segments(line[begun : cited.end(1)], language)
        found[-1] += f" {cited[2]}"
        begun = cited.end()
    return found + _segments(line[begun:], language)


def _segments(text: str, language: str) -> list[str]:
    hidden = _BRACKET.sub(lambda match: match.group().replace(" ", _HIDDEN), text.replace(_HIDDEN, ""))
    return [piece.replace(_HIDDEN, " ") for piece in split(hidden, language)]


def _choose(candidates: Sequence[Sentence], count: int, focus: str) -> list[int]:
    """Returns indexes, those of the most important sentences first."""
    if not candidates:
        return []
    vectors, focused = _vectors([one.bare for one in candidates], focus)
    if vectors is None:
        return list(range(min(count, len(candidates))))
    return _pick(candidates, vectors, focused, min(count, len(candidates)))


def _pick(candidates: Sequence[Sentence], vectors: Any, focused: Any, count: int) -> list[int]:
    import numpy as np

    centroid = np.asarray(vectors.mean(axis=0)).ravel()
    norm = float(np.linalg.norm(centroid)) or 1.0
    weight = vectors @ (centroid / norm) + LEAD_BONUS / (1 + np.arange(vectors.shape[0]))
    weight = weight + FOCUS_WEIGHT * focused + np.array([_cues(one) for one in candidates])
    repetition = np.zeros(vectors.shape[0])
    sections = [one.section for one in candidates]
    taken: Counter[str] = Counter()
    chosen: list[int] = []
    while len(chosen) < count:
        crowded = np.array([taken[section] if section else 0 for section in sections])
        gain = weight - REPETITION_WEIGHT * repetition - SECTION_WEIGHT * crowded
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        taken[sections[chosen[-1]]] += 1
        similarity = (vectors @ vectors[chosen[-1]].T).toarray().ravel()
        repetition = np.maximum(repetition, similarity)
    return chosen


def _cues(sentence: Sentence) -> float:
    """Returns the bonus of a sentence that decides, assigns, dates or counts, and the penalty of a formality."""
    gained = sum(weight for want, weight in CUE_WEIGHTS.items() if says(want, sentence.bare))
    return gained + OPENING_BONUS * is_opening(sentence.section) - FORMALITY_WEIGHT * is_formality(sentence.bare)


def _vectors(texts: list[str], focus: str) -> tuple[Any, Any]:
    """Returns TF-IDF rows of unit length and their similarity to the focus; (None, None) for texts without words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    terms = Terms(language_of(" ".join(texts)))
    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=terms.of)
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
