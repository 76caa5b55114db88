"""Reads a file as a Document. Its kind is found by its content, or by its name if the content does not tell."""

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tools.documents import html, markdown, text
from tools.documents.document import Document, DocumentError, Limits, Watch, quotable
from tools.documents.scans import read_picture

_HEAD_BYTES = 2_048
_OLE = bytes.fromhex("D0CF11E0A1B11AE1")
"""The signature of .doc, .xls, .ppt, and of a .docx with a password."""
_OFFICE = {"xl/": "a spreadsheet", "ppt/": "a presentation", "content.xml": "an OpenDocument file"}
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
_MEDIA = (b"GIF8", b"RIFF", b"ID3", b"OggS", b"fLaC", b"\x00\x00\x00\x18ftyp")
_MAX_NAME = 60
READABLE = "PDF, Word (.docx), HTML, Markdown and text files, and pictures of text"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A file to read: the path of its content, and the name that the user gave it."""

    path: Path
    name: str
    mime: str = ""


def read_document(reading: Reading, watch: Watch | None = None) -> Document:
    """Reads one file. CPU-bound: call it in a thread.

    Raises DocumentError, with a sentence for the user, when the file cannot be read or exceeds the limits.
    """
    watch = watch or Watch()
    _check_size(reading, watch.limits)
    kind = _kind(reading)
    if kind == "pdf":
        from tools.documents import pdf  # the libraries of both take 0.1 s, which most tool hosts need not spend

        document = pdf.read(reading.path, reading.name, watch)
    elif kind == "picture":
        document = read_picture(reading.path, reading.name, watch)
    elif kind == "word":
        from tools.documents import word

        document = word.read(reading.path, reading.name, watch)
    else:
        decoded = text.decode(reading.path.read_bytes(), reading.name, markup=kind == "html")
        document = _TEXTUAL[kind](decoded, reading.name)
    if document.words == 0:
        raise DocumentError(f"{reading.name!r} holds no text to read.")
    if document.characters > watch.limits.characters:
        raise DocumentError(
            f"{reading.name!r} has {document.characters:,} characters of text; at most {watch.limits.characters:,} "
            "can be read in one call. Split it into parts."
        )
    return document


_TEXTUAL = {"html": html.read, "markdown": markdown.read, "text": text.read}


def unique_names(names: Iterable[str]) -> list[str]:
    """Returns names for citations, in order: quotable, short and unique."""
    taken: set[str] = set()
    result = []
    for name in names:
        base = quotable(Path(name).name, _MAX_NAME) or "document"
        candidate, n = base, 2
        while candidate.casefold() in taken:
            candidate, n = f"{base} ({n})", n + 1
        taken.add(candidate.casefold())
        result.append(candidate)
    return result


def check_together(documents: Iterable[Document], limits: Limits) -> None:
    """Raises DocumentError when the documents of one call exceed the limits together."""
    documents = list(documents)
    pages = sum(document.pages or 0 for document in documents)
    if pages > limits.pages:
        raise DocumentError(
            f"The documents have {pages:,} pages together; at most {limits.pages:,} can be read in one call."
        )
    characters = sum(document.characters for document in documents)
    if characters > limits.characters:
        raise DocumentError(
            f"The documents have {characters:,} characters of text together; at most {limits.characters:,} can be "
            "read in one call. Send fewer of them at a time."
        )


def renamed(document: Document, name: str) -> Document:
    return document if document.name == name else replace(document, name=name)


def _check_size(reading: Reading, limits: Limits) -> None:
    size = reading.path.stat().st_size
    if size == 0:
        raise DocumentError(f"{reading.name!r} is empty.")
    if size > limits.bytes_per_file:
        raise DocumentError(
            f"{reading.name!r} has {size / 1e6:,.0f} MB; at most {limits.bytes_per_file / 1e6:,.0f} MB can be read."
        )


def _kind(reading: Reading) -> str:
    with reading.path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    suffix = Path(reading.name).suffix.lower()
    if b"%PDF-" in head[:1_024]:
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_archive(reading, suffix)
    if head.startswith(_PICTURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        return "picture"
    _refuse_by_content(reading.name, head, suffix)
    if suffix in (".html", ".htm", ".xhtml") or "html" in reading.mime or _looks_like_html(head):
        return "html"
    if suffix in (".md", ".markdown", ".mdown") or "markdown" in reading.mime:
        return "markdown"
    return "text"


def _kind_of_archive(reading: Reading, suffix: str) -> str:
    try:
        with zipfile.ZipFile(reading.path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        if suffix == ".docx":
            raise DocumentError(
                f"{reading.name!r} is a damaged Word document: its end is missing or broken."
            ) from error
        raise _unsupported(reading.name, "a damaged zip archive") from error
    if "word/document.xml" in names:
        return "word"
    for prefix, what in _OFFICE.items():
        if any(name.startswith(prefix) for name in names):
            raise _unsupported(reading.name, what)
    if suffix == ".docx":
        raise DocumentError(f"{reading.name!r} is not a Word document, though its name says so: it is a zip archive.")
    raise _unsupported(reading.name, "a zip archive")


def _refuse_by_content(name: str, head: bytes, suffix: str) -> None:
    if head.startswith(_OLE):
        raise DocumentError(
            f"{name!r} is an old Office file or one with a password. Save it as .docx without a password and send that."
        )
    if suffix == ".docx":
        raise DocumentError(f"{name!r} is not a Word document, though its name says so.")
    if suffix == ".pdf":
        raise DocumentError(f"{name!r} is not a PDF, though its name says so.")
    if head.startswith(_MEDIA) or text.looks_binary(head):
        raise _unsupported(name, "not text")


def _unsupported(name: str, what: str) -> DocumentError:
    return DocumentError(f"{name!r} cannot be read: it is {what}. {READABLE} can.")


def _looks_like_html(head: bytes) -> bool:
    return re.match(rb"(?:\xef\xbb\xbf)?\s*(?:<!doctype html|<html[\s>])", head, re.IGNORECASE) is not None
