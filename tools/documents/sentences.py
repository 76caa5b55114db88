"""Splits text into sentences, so that each can have its citation. Works by rules, without a downloaded model."""

import re
from collections.abc import Iterator

# Longer "sentences" are tables, code or text without punctuation; a chunk may end inside them.
MAX_SENTENCE = 900

_END = re.compile(r"""(?<=[.!?…])["'”’»)\]]*\s+(?=["'“‘«(\[]?[A-Z0-9À-ÖØ-ÞΑ-ΩА-Я])|(?<=[。！？])(?=\S)""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|Nos|Fig|Figs|Sec|Ch|Vol|Art|Eq|Ref|cf|vs|pp?|ed|eds|al|e\.g|i\.e|approx|ca|Inc|Ltd|Co"
    r"|bzw|z\.B|Nr|Abs|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)|\b[A-Z])\.$"
)


def sentences(text: str) -> Iterator[str]:
    """Yields the sentences of `text` in order, each on one line and at most MAX_SENTENCE characters long."""
    flat = re.sub(r"\s+", " ", text).strip()
    start = 0
    for end in _END.finditer(flat):
        piece = flat[start : end.start()]
        if _ABBREVIATION.search(piece):
            continue
        # The match begins with closing quotation marks, which belong to the sentence.
        yield from _bounded(flat[start : end.end()].strip())
        start = end.end()
    if start < len(flat):
        yield from _bounded(flat[start:])


def _bounded(sentence: str) -> Iterator[str]:
    while len(sentence) > MAX_SENTENCE:
        cut = sentence.rfind(" ", MAX_SENTENCE // 2, MAX_SENTENCE)
        cut = cut if cut > 0 else MAX_SENTENCE
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
