"""Markdown: passages under their headings. Only what tells headings from text is parsed; the rest is text already."""

import re
from collections.abc import Iterator

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
    for heading, number, block in _blocks(lines, skipped):
        if heading:
            outline.head(_plain(block))
        else:
            outline.add(_plain(block), number)
    return outline.document(name, "Markdown", lines=len(lines))


def _blocks(lines: list[str], start: int) -> Iterator[tuple[bool, int, str]]:
    """(is a heading, line it starts at, text)."""
    block: list[str] = []
    fence = ""
    begun = start + 1
    for number, line in enumerate(lines[start:], start + 1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark.group(1).startswith(fence):
                fence = ""
                if block:
                    yield False, begun, "\n".join(block)
                block = []
            else:
                block.append(line)
            continue
        atx = _ATX.match(line)
        underlined = bool(block) and _UNDERLINE.match(line) is not None and len(block) == 1
        if underlined:
            yield True, begun, block[0]
            block = []
            continue
        if block and (atx or mark or not line.strip() or _ITEM.match(line)):
            yield False, begun, "\n".join(block)
            block = []
        if mark:
            fence = mark.group(1)
        elif atx:
            yield True, number, atx.group("title") or ""
        elif line.strip():
            block.append(line)
        begun = begun if len(block) > 1 else number
    if block:
        yield False, begun, "\n".join(block)


def _plain(text: str) -> str:
    text = re.sub(r"^[ \t]*>[ \t]?", "", text, flags=re.MULTILINE)
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return text
