"""Reads plain text of any common encoding, cited by line."""

import re
from collections import Counter
from collections.abc import Iterator

from charset_normalizer import from_bytes

from tools.documents.document import Document, DocumentError
from tools.documents.outline import Outline

_MARKS = (  # longest first: the UTF-32 mark begins with the UTF-16 one
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_META = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([\w-]{2,40})""", re.IGNORECASE)
_SAMPLE_BYTES = 64_000
"""Enough to detect an encoding; charset-normalizer takes seconds for each further megabyte."""
_MAX_PASSAGE = 1_200
"""In text without blank lines, a new passage begins after this many characters."""
_MAX_HEAD, _MIN_HEADS = 90, 3
"""Characters of a running head, and how often it must stand in a text to be one."""
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


def looks_binary(head: bytes) -> bool:
    """Whether these first bytes are not text in any supported encoding."""
    if any(head.startswith(mark) for mark, _ in _MARKS) or _utf16_without_mark(head):
        return False
    return head.count(0) > 0 or len(head.translate(None, _CONTROL)) < 0.95 * len(head)


def decode(content: bytes, name: str, *, markup: bool = False) -> str:
    """Decodes by byte order mark, as UTF-8, by HTML's declared charset, or by statistics. Raises DocumentError."""
    for encoding in _candidates(content, markup):
        try:
            text = content.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        return _clean(text)
    best = from_bytes(_sample(content)).best()
    if best is None:
        raise DocumentError(f"The encoding of {name!r} cannot be recognised. Save it as UTF-8.")
    return _clean(content.decode(best.encoding, "replace"))


def read(text: str, name: str) -> Document:
    lines = _without_running_heads(text.splitlines())
    outline = Outline(fallback="line")
    for number, passage in _passages(lines):
        outline.add(passage, number)
    return outline.document(name, "text", lines=len(lines))


def _without_running_heads(lines: list[str]) -> list[str]:
    """Empties short lines that stand alone and recur, but for their numbers: `Annual report - page 3`."""
    alone = [
        not before.strip() and not after.strip()
        for before, after in zip(["", *lines[:-1]], [*lines[1:], ""], strict=True)
    ]
    heads = Counter(
        re.sub(r"\d+", "#", line.strip())
        for line, single in zip(lines, alone, strict=True)
        if single and 0 < len(line.strip()) <= _MAX_HEAD
    )
    recurring = sum(count for count in heads.values() if count >= _MIN_HEADS)
    if recurring > sum(1 for line in lines if line.strip()) / 5:
        return lines  # a list of short paragraphs that are alike
    return [
        "" if single and heads[re.sub(r"\d+", "#", line.strip())] >= _MIN_HEADS else line
        for line, single in zip(lines, alone, strict=True)
    ]


def _candidates(content: bytes, markup: bool) -> Iterator[str]:
    yield from (encoding for mark, encoding in _MARKS if content.startswith(mark))
    if guess := _utf16_without_mark(content):
        yield guess
    yield "utf-8"
    declared = _META.search(content[:4_096]) if markup else None
    if declared:
        yield declared.group(1).decode("ascii")


def _utf16_without_mark(content: bytes) -> str | None:
    """UTF-16 of mostly Western text has a NUL in every other byte."""
    head = content[:_SAMPLE_BYTES]
    half = len(head) // 2
    if half < 2:
        return None
    if head[1::2].count(0) > 0.7 * half and head[::2].count(0) < 0.05 * half:
        return "utf-16-le"
    if head[::2].count(0) > 0.7 * half and head[1::2].count(0) < 0.05 * half:
        return "utf-16-be"
    return None


def _sample(content: bytes) -> bytes:
    if len(content) <= _SAMPLE_BYTES:
        return content
    end = content.rfind(b"\n", _SAMPLE_BYTES // 2, _SAMPLE_BYTES)
    return content[: end if end > 0 else _SAMPLE_BYTES]


def _clean(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _passages(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yields (first line, text): paragraphs between blank lines, long ones cut at line ends."""
    block: list[str] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if block and (not line.strip() or size > _MAX_PASSAGE):
            yield number - len(block), "\n".join(block)
            block, size = [], 0
        if line.strip():
            block.append(line)
            size += len(line)
    if block:
        yield len(lines) - len(block) + 1, "\n".join(block)
