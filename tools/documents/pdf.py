"""Reads PDF with pypdf: the text of each page, without running heads, line breaks and their hyphens."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

from pypdf import PdfReader
from pypdf.errors import DependencyError, LimitReachedError

from tools.documents.document import Document, DocumentError, Passage, Place, Watch
from tools.documents.scans import HOW_TO_INSTALL, can_recognise, recognise

_MIN_PAGES_WITH_HEADS = 4
_ENDS_SENTENCE = re.compile(r"""[.!?:;…]["'”’)\]]*$""")
_SENTENCE_END = re.compile(r"""[.!?…]["'”’)\]]*(?=\s|$)""")
_MAX_HEADING = 70
_HYPHEN = re.compile(r"(\w)[-\u00ad\u2010]$")


def read(path: Path, name: str, watch: Watch) -> Document:
    """Raises DocumentError for damaged and encrypted files and for scans without text."""
    with path.open("rb") as file:
        reader = _open(file, name)
        count = _count(reader, name)
        if count > watch.limits.pages:
            raise DocumentError(
                f"{name!r} has {count:,} pages; at most {watch.limits.pages:,} can be read in one call."
            )
        lines, damaged = _lines_by_page(reader, name, count, watch)
        scanned = [number for number, page in enumerate(lines, 1) if not page and _has_picture(reader, number)]
    recognised = _recognise(path, name, lines, scanned, watch)
    heads = _running_heads(lines)
    texts = [_paragraphs([line for line in page if _anonymous(line) not in heads]) for page in lines]
    _mend(texts)
    places = tuple(Place(kind="page", number=number) for number in range(1, count + 1))
    passages = tuple(
        Passage(place=place, text=text, heading=_is_heading(text))
        for place, page in zip(places, texts, strict=True)
        for text in page
        if text
    )
    if not any(re.search(r"\w", passage.text) for passage in passages):
        raise _without_text(name, count, damaged)
    empty = [place.number for place, page in zip(places, texts, strict=True) if not page]
    remarks = tuple(_remarks(name, sorted(set(empty) - set(damaged)), damaged, recognised))
    return Document(name=name, kind="PDF", passages=passages, places=places, pages=count, remarks=remarks)


def _open(file: object, name: str) -> PdfReader:
    try:
        reader = PdfReader(file, strict=False)  # type: ignore[arg-type]  # an open binary file
        locked = reader.is_encrypted and not reader.decrypt("")  # a file with only an owner's password may be read
    except DependencyError as error:
        raise DocumentError(f"{name!r} is encrypted in a way that cannot be read here.") from error
    except Exception as error:  # pypdf may raise any exception on a broken file
        raise _damaged(name) from error
    if locked:
        raise DocumentError(f"{name!r} is encrypted. Save it without a password and send that.")
    return reader


def _count(reader: PdfReader, name: str) -> int:
    try:
        count = len(reader.pages)
    except Exception as error:  # as above, on a broken page tree
        raise _damaged(name) from error
    if count == 0:
        raise _damaged(name)
    return count


def _lines_by_page(reader: PdfReader, name: str, count: int, watch: Watch) -> tuple[list[list[str]], list[int]]:
    pages: list[list[str]] = []
    damaged: list[int] = []
    characters = 0
    for number in range(1, count + 1):
        watch.check(name)
        text = _text(reader, number)
        if text is None:
            damaged.append(number)
        characters += len(text or "")
        if characters > 2 * watch.limits.characters:  # cleaning may remove up to half
            raise DocumentError(
                f"{name!r} has more than {watch.limits.characters:,} characters of text: the limit. Split it up."
            )
        pages.append([line.strip() for line in (text or "").splitlines() if line.strip()])
        watch.page(number, count)
    if len(damaged) == count:
        raise _damaged(name)
    return pages, damaged


def _has_picture(reader: PdfReader, number: int) -> bool:
    try:
        return bool(reader.pages[number - 1]["/Resources"]["/XObject"])  # type: ignore[index]  # a dictionary
    except Exception:  # noqa: BLE001 - it has none, or is broken in any way
        return False


def _recognise(path: Path, name: str, pages: list[list[str]], scanned: list[int], watch: Watch) -> list[int]:
    """Fills scanned pages by text recognition, where that is installed. Returns the numbers of those that it read."""
    if not scanned or not can_recognise():
        return []
    try:
        found = recognise(path, name, scanned, watch)
    except DocumentError:
        watch.check(name)
        return []  # the other pages can still be read
    for number, lines in found.items():
        pages[number - 1] = [line.strip() for line in lines if line.strip()]
    return [number for number, lines in found.items() if lines]


def _text(reader: PdfReader, number: int) -> str | None:
    """Returns a page's text; None when the page is damaged, so that the others can still be read."""
    try:
        page = reader.pages[number - 1]
        text = page.extract_text()
    except (LimitReachedError, RecursionError, MemoryError):
        return None
    except Exception:  # noqa: BLE001 - pypdf may raise any exception on a broken page
        return None
    # Fonts without a usable character map produce NULs and lone surrogates, which JSON cannot hold.
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _anonymous(line: str) -> str:
    """Returns the line without its numbers, so that `Chapter 3 · 41` and `Chapter 3 · 42` are the same running head."""
    return re.sub(r"\d+", "#", line).strip().casefold()


def _running_heads(pages: list[list[str]]) -> set[str]:
    """Returns first and last lines that recur on most pages, such as page numbers."""
    filled = [page for page in pages if len(page) > 1]
    if len(filled) < _MIN_PAGES_WITH_HEADS:
        return set()
    counts = Counter(line for page in filled for line in {_anonymous(page[0]), _anonymous(page[-1])})
    return {line for line, seen in counts.items() if seen > len(filled) / 2}


def _paragraphs(lines: list[str]) -> list[str]:
    """Joins lines to paragraphs. A short line without a full stop is a heading and stays separate."""
    if not lines:
        return []
    usual = median(len(line) for line in lines)
    return [" ".join(paragraph).strip() for paragraph in _grouped(lines, usual)]


def _grouped(lines: list[str], usual: float) -> Iterator[list[str]]:
    current: list[str] = []
    for line in lines:
        hyphen = current and _HYPHEN.search(current[-1])
        if hyphen and line[:1].islower():
            current[-1] = current[-1][:-1] + line
            continue
        short = current and len(current[-1]) < 0.7 * usual
        if short and line[:1].isupper() and (len(current) == 1 or _ENDS_SENTENCE.search(current[-1])):
            yield current
            current = []
        current.append(line)
    if current:
        yield current


def _mend(pages: list[list[str]]) -> None:
    """Moves the rest of a sentence that continues on the next page to the page on which it begins."""
    for page, following in pairwise(pages):
        if not page or not following or _ENDS_SENTENCE.search(page[-1]) or _is_heading(page[-1]):
            continue
        end = _SENTENCE_END.search(following[0])
        rest = following[0][: end.end()] if end else following[0]
        if _is_heading(rest):
            continue
        hyphen = _HYPHEN.search(page[-1]) and rest[:1].islower()
        page[-1] = page[-1][:-1] + rest if hyphen else f"{page[-1]} {rest}"
        following[0] = following[0][len(rest) :].strip()
        if not following[0] and len(following) > 1:
            following.pop(0)


def _is_heading(text: str) -> bool:
    return len(text) < _MAX_HEADING and not _ENDS_SENTENCE.search(text)


def _remarks(name: str, empty: list[int], damaged: list[int], recognised: list[int]) -> Iterator[str]:
    if recognised:
        yield f"{name}: {_numbers(recognised)} read by text recognition, which can make mistakes."
    if empty:
        why = "" if can_recognise() else f" {HOW_TO_INSTALL} to read pictures."
        yield f"{name}: no text on {_numbers(empty)}.{why}"
    if damaged:
        yield f"{name}: {_numbers(damaged)} could not be read."


def _numbers(pages: list[int]) -> str:
    shown = ", ".join(str(number) for number in pages[:10])
    more = f" and {len(pages) - 10} more" if len(pages) > 10 else ""
    return f"{'page' if len(pages) == 1 else 'pages'} {shown}{more}"


def _damaged(name: str) -> DocumentError:
    return DocumentError(f"{name!r} is a damaged PDF and cannot be read. Export or download it again.")


def _without_text(name: str, count: int, damaged: list[int]) -> DocumentError:
    if damaged:
        return _damaged(name)
    pages = "1 page" if count == 1 else f"{count:,} pages"
    if can_recognise():
        return DocumentError(f"{name!r} has {pages} but no text, and none could be recognised.")
    return DocumentError(f"{name!r} has {pages} but no text: it looks like a scan. {HOW_TO_INSTALL}.")
