"""Parses what users type into words and phrases; no part of it is search syntax."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tools.search.index import MARK_END, MARK_START

_MAX_TERMS = 48
"""A question has about twenty words; a pasted page must not become a query of a thousand."""
_MAX_QUERY = 10_000
_PHRASE = re.compile(r'["“„”«»]([^"“„”«»]*)["“„”«»]')
_WORD = re.compile(r"[^\W_]+")
# Characters between words. Other signs occur within words: e-mail, 3.14, accents of many scripts.
_BETWEEN = re.compile(r"""[\s\x00-\x1f\x7f,;:!?()\[\]{}<>|/\\"“„”«»=+*&^%$#~`、。，；：！？（）「」『』]+""")

# Scripts without spaces between words: the index treats each character as a word, and a run of them as a phrase.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"[{_UNSPACED}]")
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_SIGNS = "\u3000-\u303f\uff00-\uffef"
"""The punctuation of these scripts."""
_MARKS = f"[{MARK_START}{MARK_END}]*"
_GAP = re.compile(f"([{_UNSPACED}{_SIGNS}]{_MARKS}) (?={_MARKS}[{_UNSPACED}{_SIGNS}])")

# Words too common to tell passages apart: English, German, French, Spanish.
_COMMON = frozenset(
    """
    a about all also am an and any are as at be been being but by can could did do does for from had has have he her
    his how i if in into is it its me my no not of on or our she should so some than that the their them then there
    these they this those to us was we were what when where which who whom whose why will with would you your
    tell say says find show please
    aber als am an auf aus bei bin bis da das dass dem den der des die doch du ein eine einem einen einer eines er es
    für hat ich ihr im in ist ja kann man mit nach nicht noch nur ob oder sich sie sind so um und uns vom von vor war
    warum was wenn wer wie wir wird wo wurde zu zum zur über
    au aux avec ce ces cette comme dans de des du elle en est et il ils je la le les leur lui mais ne nous on ou où
    par pas pour qu que quel quelle qui sa se ses son sont sur un une vous
    al como con cuál de del el ella en es esta este la las lo los más no o para pero por qué que quién se ser sin
    sobre son su sus un una y
    """.split()  # noqa: SIM905 - two hundred quotation marks read worse
)


@dataclass(frozen=True, kw_only=True)
class Query:
    """A parsed query. A term is a sequence of consecutive words."""

    required: tuple[tuple[str, ...], ...]
    """Phrases in quotation marks."""
    optional: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "Query":
        text = normal(text[:_MAX_QUERY])
        required = _terms(_PHRASE.findall(text))
        optional = _terms(part for word in _BETWEEN.split(_PHRASE.sub(" ", text)) for part in _parts(word))
        telling = tuple(term for term in optional if " ".join(term).casefold() not in _COMMON)
        return cls(required=required[:_MAX_TERMS], optional=(telling or optional)[:_MAX_TERMS])

    @property
    def empty(self) -> bool:
        return not self.required and not self.optional


def normal(text: str) -> str:
    """Returns the text with each accented letter as one character, and without unpaired surrogates."""
    return unicodedata.normalize("NFC", text).encode("utf-8", "replace").decode()


def spaced(text: str) -> str:
    """Returns the text with spaces around each character of a script without spaces."""
    return _CHARACTER.sub(r" \g<0> ", text)


def unspaced(text: str) -> str:
    """Undoes `spaced` in a snippet, but for gaps beside other scripts."""
    return _GAP.sub(r"\1", re.sub(r" +", " ", text))


def words(text: str) -> tuple[str, ...]:
    """Returns the words as the index stores them."""
    return tuple(_WORD.findall(spaced(text)))


def _parts(word: str) -> Iterator[str]:
    """Splits a word; a run of Chinese characters into adjacent pairs, because word boundaries are not marked."""
    for run in _RUN.findall(word):
        if len(run) > 2 and _CHARACTER.match(run):
            yield from (run[at : at + 2] for at in range(len(run) - 1))
        else:
            yield run


def _terms(pieces: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Returns each term once, in order, without empty ones."""
    return tuple(dict.fromkeys(term for piece in pieces if (term := words(piece.casefold()))))
