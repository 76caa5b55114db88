"""Reads Word documents (.docx) with python-docx: paragraphs and tables under headings. They have no fixed pages."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import docx
from docx.table import Table

from tools.documents.document import Document, DocumentError, Watch
from tools.documents.outline import Outline

_HEADING = re.compile(r"(?:heading|überschrift|titre)\s*\d|title\b", re.IGNORECASE)
_MAX_ENTRIES = 10_000


def read(path: Path, name: str, watch: Watch) -> Document:
    """Raises DocumentError for damaged files and for archives that unpack to far more than a document."""
    _check_archive(path, name, watch)
    outline = Outline(fallback="paragraph")
    try:
        document = docx.Document(str(path))
        for heading, text in _blocks(document, {}):
            watch.check(name)
            if heading:
                outline.head(text)
            else:
                outline.add(text)
    except DocumentError:
        raise
    except Exception as error:  # the libraries may raise any exception on broken XML and missing parts
        raise DocumentError(
            f"{name!r} is a damaged Word document and cannot be read. Save it again in Word."
        ) from error
    return outline.document(name, "Word")


def _check_archive(path: Path, name: str, watch: Watch) -> None:
    # The archive states the sizes. zipfile reads no more than stated, so a false size fails without filling memory.
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    xml = sum(entry.file_size for entry in entries if entry.filename.lower().endswith((".xml", ".rels")))
    limits = watch.limits
    if len(entries) > _MAX_ENTRIES or unpacked > limits.unpacked_bytes or xml > limits.unpacked_xml_bytes:
        raise DocumentError(
            f"{name!r} unpacks to {unpacked / 1e6:,.0f} MB, far more than a Word document should; it was not opened."
        )


def _blocks(document: docx.document.Document, styles: dict[str | None, bool]) -> Iterator[tuple[bool, str]]:
    """Yields (is a heading, text) for each paragraph and table row, in order."""
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            yield from ((False, row) for row in _rows(block))
            continue
        style_id = block._p.style  # the style object would cost a search of the style sheet for each paragraph
        if style_id not in styles:
            styles[style_id] = bool(_HEADING.match(block.style.name or "")) if block.style else False
        if block.text.strip():
            yield styles[style_id], block.text


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        cells: list[str] = []
        for cell in row.cells:
            text = re.sub(r"\s+", " ", cell.text).strip()
            if text and (not cells or cells[-1] != text):  # merged cells appear once for each column that they span
                cells.append(text)
        if cells:
            yield " | ".join(cells)
