"""Reads Markdown as passages under their headings. Parses only what tells headings from text."""

import re

from tools.documents.document import Document
from tools.documents.outline import Outline

_ATX = re.compile(r" {0,3}#{1,6}(?:[ \t]+(?P<title>.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])[ \t]+")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_INLINE = (
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"(\*\*|__|~~)(.+?)\1"), r"\2"),
)


def read(text: str, name: str) -> Document:
    front = _FRONT_MATTER.match(text)
    skipped = text[: front.end()].count("\n") if front else 0
    lines = text.splitlines()
    outline = Outline(fallback="line")
    blocks = _Blocks()
    for number, line in enumerate(lines[skipped:], skipped + 1):
        blocks.line(number, line)
    blocks.close()
    for heading, number, block in blocks.done:
        if heading:
            outline.head(_plain(block))
        else:
            outline.add(_plain(block), number)
    return outline.document(name, "Markdown", lines=len(lines))


class _Blocks:
    """Collects lines into blocks. `done` lists them as (is a heading, first line, text)."""

    def __init__(self) -> None:
        self.done: list[tuple[bool, int, str]] = []
        self._open: list[str] = []
        self._begun = 0
        self._fence = ""

    def line(self, number: int, line: str) -> None:
        fence = _FENCE.match(line)
        if self._fence:
            self._in_fence(number, line, closes=fence is not None and fence.group(1).startswith(self._fence))
        elif fence:
            self.close()
            self._fence = fence.group(1)
        elif len(self._open) == 1 and _UNDERLINE.match(line):
            self.close(heading=True)
        elif atx := _ATX.match(line):
            self.close()
            self.done.append((True, number, atx.group("title") or ""))
        else:
            if not line.strip() or _ITEM.match(line):
                self.close()
            self._add(number, line)

    def close(self, *, heading: bool = False) -> None:
        if self._open:
            self.done.append((heading, self._begun, "\n".join(self._open)))
        self._open = []

    def _in_fence(self, number: int, line: str, *, closes: bool) -> None:
        if closes:
            self._fence = ""
            self.close()
        else:
            self._add(number, line)

    def _add(self, number: int, line: str) -> None:
        if line.strip():
            self._begun = self._begun if self._open else number
            self._open.append(line)


def _plain(text: str) -> str:
    text = re.sub(r"^[ \t]*>[ \t]?", "", text, flags=re.MULTILINE)
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return text
