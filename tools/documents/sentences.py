"""Running text cut into sentences, so that each can carry its citation. Rules, not a model: nothing is downloaded."""

import re
from collections.abc import Iterator

# Longer "sentences" are tables, code or text without punctuation; a chunk must be able to end inside them.
LONGEST = 900

_END = re.compile(r"""(?<=[.!?…])["'”’»)\]]*\s+(?=["'“‘«(\[]?[A-Z0-9À-ÖØ-ÞΑ-ΩА-Я])|(?<=[。！？])(?=\S)""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|Nos|Fig|Figs|Sec|Ch|Vol|Art|Eq|Ref|cf|vs|pp?|ed|eds|al|e\.g|i\.e|approx|ca|Inc|Ltd|Co"
    r"|bzw|z\.B|Nr|Abs|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)|\b[A-Z])\.$"
)


def sentences(text: str) -> Iterator[str]:
    """The sentences of `text` in order, on one line each, at most LONGEST characters long."""
    flat = re.sub(r"\s+", " ", text).strip()
    start = 0
    for end in _END.finditer(flat):
        piece = flat[start : end.start()]
        if _ABBREVIATION.search(piece):
            continue
        # Closing quotation marks are part of the match, and of the sentence.
        yield from _bounded(flat[start : end.end()].strip())
        start = end.end()
    if start < len(flat):
        yield from _bounded(flat[start:])


def _bounded(sentence: str) -> Iterator[str]:
    while len(sentence) > LONGEST:
        cut = sentence.rfind(" ", LONGEST // 2, LONGEST)
        cut = cut if cut > 0 else LONGEST
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
