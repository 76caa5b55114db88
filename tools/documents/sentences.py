"""Sentences for citations: each on one line, and none too long."""

from collections.abc import Iterator

from language.sentences import sentences as split

# Longer "sentences" are tables, code or text without punctuation; a chunk may end inside them.
MAX_SENTENCE = 900


def sentences(text: str, language: str = "en") -> Iterator[str]:
    """Yields the sentences of `text` in order, each on one line and at most MAX_SENTENCE characters long."""
    for sentence in split(text, language):
        yield from _bounded(sentence)


def _bounded(sentence: str) -> Iterator[str]:
    while len(sentence) > MAX_SENTENCE:
        cut = sentence.rfind(" ", MAX_SENTENCE // 2, MAX_SENTENCE)
        cut = cut if cut > 0 else MAX_SENTENCE
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
