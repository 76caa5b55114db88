"""Converts text of any common encoding to UTF-8 on disk, in one pass and constant memory."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from tools.tables.limits import LIMITS, TableError

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_CHUNK = 1 << 20
_HEAD = 4_096


def to_utf8(path: Path, name: str, target: Path) -> tuple[Path, list[str]]:
    """Returns the path of the text as clean UTF-8 (of the file itself if possible), and remarks on changes.

    Raises TableError for a line too long to be a row.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    mark, encoding = next(((mark, encoding) for mark, encoding in _MARKS if head.startswith(mark)), (b"", ""))
    encoding = encoding or _utf16_without_mark(head) or "utf-8"
    if encoding == "utf-8":
        if not mark and _is_clean(path):
            return path, []
        return target, _rewrite_lines(path, name, target, len(mark))
    return target, _transcode(path, name, target, encoding, len(mark))


def _utf16_without_mark(head: bytes) -> str | None:
    """UTF-16 of mostly Western text has a NUL in every other byte."""
    half = max(1, len(head) // 2)
    if head[1::2].count(0) > 0.4 * half and head[::2].count(0) < 0.05 * half:
        return "utf-16-le"
    if head[::2].count(0) > 0.4 * half and head[1::2].count(0) < 0.05 * half:
        return "utf-16-be"
    return None


def _is_clean(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(path):
            if b"\0" in chunk:
                return False
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _rewrite_lines(path: Path, name: str, target: Path, skip: int) -> list[str]:
    """Rewrites line by line. Lines that are not UTF-8 are read as Windows-1252, which covers printable Latin-1."""
    other = nuls = 0
    with path.open("rb") as source, target.open("wb") as sink:
        source.seek(skip)
        while line := source.readline(LIMITS.line_bytes + 1):
            if len(line) > LIMITS.line_bytes:
                raise TableError(
                    f"{name!r} has a line of more than {LIMITS.line_bytes / 1e6:.0f} MB, too long for a row of a table."
                )
            if b"\0" in line:
                nuls += line.count(0)
                line = line.replace(b"\0", b"")
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                other += 1
                line = _windows(line)
            sink.write(line)
    return [*_remark_on_encoding(name, other), *_remark_on_nuls(name, nuls)]


def _windows(line: bytes) -> bytes:
    try:
        return line.decode("cp1252").encode()
    except UnicodeDecodeError:  # five bytes are undefined in Windows-1252
        return line.decode("latin-1").encode()


def _transcode(path: Path, name: str, target: Path, encoding: str, skip: int) -> list[str]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    nuls = broken = 0
    with target.open("wb") as sink:
        for chunk in _chunks(path, skip):
            text = decoder.decode(chunk)
            nuls += text.count("\0")
            broken += text.count("\ufffd")
            sink.write(text.replace("\0", "").encode("utf-8", "replace"))
    remarks = [f"{name!r}: {broken:,} characters are not valid UTF-16 and were replaced."] if broken else []
    return [*remarks, *_remark_on_nuls(name, nuls)]


def _chunks(path: Path, skip: int = 0) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(skip)
        while chunk := file.read(_CHUNK):
            yield chunk


def _remark_on_encoding(name: str, lines: int) -> list[str]:
    if not lines:
        return []
    which = "1 line is" if lines == 1 else f"{lines:,} lines are"
    return [
        f"{name!r}: {which} not UTF-8 and read as Windows-1252. If letters look wrong, save the file as UTF-8 first."
    ]


def _remark_on_nuls(name: str, count: int) -> list[str]:
    return [f"{name!r}: {count:,} NUL bytes were left out."] if count else []
