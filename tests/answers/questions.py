"""Questions about documents and tables, and the facts that their answers must hold."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SETS = ("questions", "later", "unseen")
"""`questions` and `later` were known when the rules were written, `unseen` were not."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question, the files that it is asked with, and what its answer must hold."""

    ask: str
    files: tuple[str, ...]
    facts: tuple[str, ...]
    """Of each, one of the wordings between `|`."""

    def missing(self, answer: str) -> list[str]:
        said = plain(answer)
        return [fact for fact in self.facts if not any(plain(wording) in said for wording in fact.split("|"))]


def questions(name: str) -> list[Asked]:
    read = tomllib.loads((HERE / f"{name}.toml").read_text())["question"]
    return [Asked(ask=one["ask"], files=tuple(one["files"]), facts=tuple(one["facts"])) for one in read]


def path_of(file: str) -> Path:
    return next(folder / file for folder in (HERE / "documents", ROOT / "samples") if (folder / file).exists())


def plain(text: str) -> str:
    """Returns the text without markup, case and differences of white space."""
    flat = unicodedata.normalize("NFKC", text).replace("\\", "").replace("**", "").replace("’", "'")
    return re.sub(r"\s+", " ", flat).casefold()


def score(answers: Iterable[tuple[Asked, str]]) -> tuple[int, int, int, int]:
    """Returns the facts found, the facts, the questions answered whole, and the questions."""
    missing = [(asked, asked.missing(answer)) for asked, answer in answers]
    facts = sum(len(asked.facts) for asked, _ in missing)
    found = facts - sum(len(one) for _, one in missing)
    return found, facts, sum(not one for _, one in missing), len(missing)
