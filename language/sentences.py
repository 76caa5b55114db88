"""Text cut into sentences."""

from __future__ import annotations

import re

import sentencex

LEADERS = re.compile(r"(?:\. ?){5,}|…{2,}|_{4,}")
"""The mark of a line of a table of contents or of a form, which is not a sentence."""
_ITEM = re.compile(
    r"^\s*(?:[-*+•–]|\(?\d{1,3}(?:\.\d{1,2})*[.)]|\(?[a-z][.)]|\d{1,2}(?:\.\d{1,2})+|\d{1,2}:\d{2}(?=\s{2}))\s+"
)
_QUOTED = re.compile(r"^\s*(?:>\s?)+")
"""The mark of older mails in a mail."""
_BLANK = re.compile(r"\n[^\S\n]*\n")


def sentences(text: str, language: str) -> list[str]:
    """Returns the sentences in order, each on one line. An item of a list, or a row of a table, begins a new one."""
    pieces = [piece for paragraph in paragraphs(text) for piece in sentencex.segment(language, paragraph)]
    return [flat(piece) for piece in pieces if piece.strip()]


def paragraphs(text: str) -> list[str]:
    """Returns running text, items of lists and rows of tables, each on one line and in order; no tables of contents."""
    text = "\n".join(_QUOTED.sub("", line) for line in text.splitlines())
    return [paragraph for block in _BLANK.split(text) for paragraph in _of_block(block.splitlines())]


def is_item(line: str) -> bool:
    return bool(_ITEM.match(line))


def is_row(line: str) -> bool:
    return line.lstrip().startswith("|") or " | " in line


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _of_block(lines: list[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        if not line.strip() or LEADERS.search(line):
            continue
        if not found or is_item(line) or is_row(line) or is_row(found[-1]):
            found.append(line.strip())
        else:
            found[-1] = _joined(found[-1], line.strip())
    return found


def _joined(before: str, line: str) -> str:
    if before.endswith("-") and line[:1].islower():
        return before[:-1] + line
    return f"{before} {line}"
