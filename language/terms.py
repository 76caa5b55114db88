"""Words as terms: words that differ only in their endings are the same term, and some pairs of words mean the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import snowballstemmer

from language.function_words import FUNCTION_WORDS
from language.thesaurus import SYNONYMS

_NAMES = {
    "da": "danish",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"\d+(?:[.,:/-]\d+)*|[{_CJK}]+|[^\W\d_]+")
_IS_CJK = re.compile(rf"[{_CJK}]")
_SAMPLE_CHARACTERS = 4_000
_MIN_PREFIX = 5
"""Characters that a shared beginning must have at least to count, as in compounds."""
_PREFIX_WEIGHT = 0.6
_MIN_COMPOUND, _COMPOUND_PREFIX, _COMPOUND_WEIGHT = 7, 4, 0.4
"""Two long German words with the same first part, as in `Windrad` and `Windkraft`, share a topic."""
_VERBAL = (
    "aus",
    "auf",
    "ein",
    "ent",
    "ver",
    "vor",
    "über",
    "unter",
    "beri",
    "best",
    "bezi",
    "gese",
    "gest",
    "zusa",
    "fest",
    "mitt",
    "haup",
)
_SYNONYM_WEIGHT = 0.75


def language_of(text: str) -> str:
    """Returns the text's language as an ISO 639-1 code."""
    import py3langid  # loads its model at import

    return str(py3langid.classify(text[:_SAMPLE_CHARACTERS])[0])


class Terms:
    """The terms of one language. Other languages' words pass unchanged, apart from their case."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._stemmer = snowballstemmer.stemmer(_NAMES[language]) if language in _NAMES else None
        self._stems: dict[str, str] = {}
        # People ask in English about texts in other languages, too.
        self._skipped = FUNCTION_WORDS["en"] | FUNCTION_WORDS.get(language, frozenset())
        self._synonyms = self._by_stem()

    def of(self, text: str) -> list[str]:
        """Returns the terms in order, without function words; of Chinese and Japanese, each pair of neighbours."""
        return [self._stem(word) for word in words_of(text) if word not in self._skipped]

    def like(self, term: str, vocabulary: Iterable[str]) -> Mapping[str, float]:
        """Returns the terms that are this one, mean the same or share a compound, each with its weight."""
        same = self._synonyms.get(term, frozenset())
        share = _shared_in_german if self.language == "de" else _shared
        found = {other: _SYNONYM_WEIGHT if other in same else share(term, other) for other in vocabulary}
        return {other: 1.0 if other == term else weight for other, weight in found.items() if weight or other == term}

    def _stem(self, word: str) -> str:
        if word not in self._stems:
            self._stems[word] = self._stemmer.stemWord(word) if self._stemmer else word
        return self._stems[word]

    def _by_stem(self) -> Mapping[str, frozenset[str]]:
        groups = [frozenset(map(self._stem, group)) for group in SYNONYMS]
        found: dict[str, frozenset[str]] = {}
        for group in groups:
            for stem in group:
                found[stem] = found.get(stem, frozenset()) | group
        return found


def words_of(text: str) -> Iterable[str]:
    """Yields the words in lower case; of Chinese and Japanese, each pair of neighbouring characters."""
    for match in _WORD.finditer(text.casefold()):
        word = match.group()
        if len(word) < 3 or not _IS_CJK.match(word):
            yield word
        else:
            yield from (word[start : start + 2] for start in range(len(word) - 1))


def _shared(term: str, other: str) -> float:
    """Returns how much two terms share: one begins or ends with the other, as in `Heizung` and `Heizungsanlage`."""
    short, long = sorted((term, other), key=len)
    if len(short) < _MIN_PREFIX or short[0].isdigit():
        return 0.0
    return _PREFIX_WEIGHT if long.startswith(short) or long.endswith(short) else 0.0


def _shared_in_german(term: str, other: str) -> float:
    if share := _shared(term, other):
        return share
    is_compound = min(len(term), len(other)) >= _MIN_COMPOUND and not term.startswith(_VERBAL)
    return _COMPOUND_WEIGHT if is_compound and term[:_COMPOUND_PREFIX] == other[:_COMPOUND_PREFIX] else 0.0
