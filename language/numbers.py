"""Numbers in a sentence as arguments: `300 a month over 20 years` for parameters that tell of months and years."""

from __future__ import annotations

import re
from collections.abc import Mapping

from language.terms import Terms, words_of

_NUMBER = re.compile(r"(?<![\w.,])\d{1,3}(?:[,.\s]\d{3})+(?:[.,]\d{1,2})?(?![\w])|(?<![\w.,])\d+(?:[.,]\d+)?(?![\d])")
_BEFORE, _AFTER = 2, 4
"""Words around a number that say what it is."""


def numbers_for(sentence: str, parameters: Mapping[str, str], terms: Terms) -> dict[str, float]:
    """Returns the numbers of the sentence by parameter. A number that fits none, or two equally well, is left out.

    parameters: by name, the words that describe it.
    """
    found: dict[str, float] = {}
    for match in _NUMBER.finditer(sentence):
        near = _near(sentence, match, terms)
        scores = {
            name: _fit(name, described, near, terms) for name, described in parameters.items() if name not in found
        }
        best = sorted(scores, key=lambda name: -scores[name])[:2]
        if best and scores[best[0]] > 0 and (len(best) == 1 or scores[best[0]] > scores[best[1]]):
            found[best[0]] = _value(match.group())
    return found


def _near(sentence: str, match: re.Match[str], terms: Terms) -> dict[str, float]:
    """Returns the terms around the number, the nearest ones weighing most; the next number ends them."""
    behind = re.split(r"\d", sentence[match.end() :], maxsplit=1)[0]
    before = re.split(r"\d", sentence[: match.start()])[-1]
    after = [term for word in [*words_of(behind)][:_AFTER] for term in terms.of(word)]
    ahead = [term for word in [*words_of(before)][-_BEFORE:] for term in terms.of(word)]
    return dict.fromkeys(ahead, 0.5) | {term: 1.0 - 0.1 * place for place, term in enumerate(after)}


def _fit(name: str, described: str, near: Mapping[str, float], terms: Terms) -> float:
    named, told = terms.of(name.replace("_", " ")), terms.of(described)
    return sum(
        weight
        * max([*(2 * one for one in terms.like(term, named).values()), *terms.like(term, told).values()], default=0.0)
        for term, weight in near.items()
    )


def _value(text: str) -> float:
    """Reads `150,000`, `150.000`, `3.5` and `3,5`."""
    plain = re.sub(r"[,.\s](?=\d{3}(?:\D|$))", "", text)
    value = float(plain.replace(",", "."))
    return int(value) if value.is_integer() else value
