"""Real documents for the tests, made on the spot."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import docx
from fpdf import FPDF
from fpdf.enums import EncryptionMethod


def pdf(path: Path, pages: Iterable[str], *, head: str = "", password: str | None = None, owner: str = "") -> Path:
    """One page for each text; `head` goes on top of every page, its number to the foot."""
    book = FPDF(format="A4")
    book.set_auto_page_break(False)
    if password is not None or owner:
        book.set_encryption(
            owner_password=owner or "owner", user_password=password, encryption_method=EncryptionMethod.AES_256
        )
    for number, text in enumerate(pages, 1):
        book.add_page()
        book.set_font("Times", size=12)
        if head:
            book.cell(0, 8, head, new_x="LMARGIN", new_y="NEXT")
        book.multi_cell(0, 6, text, new_x="LMARGIN", new_y="NEXT")
        if head:
            book.set_y(-20)
            book.cell(0, 8, str(number))
    book.output(str(path))
    return path


def scan(path: Path, pages: int) -> Path:
    """Pages with a picture and no text."""
    book = FPDF()
    for _ in range(pages):
        book.add_page()
        book.rect(20, 20, 120, 160, style="F")
    book.output(str(path))
    return path


def word(path: Path, blocks: Iterable[tuple[str, str]], table: list[list[str]] | None = None) -> Path:
    """Blocks are (style, text); the table comes last."""
    document = docx.Document()
    for style, text in blocks:
        document.add_paragraph(text, style=style)
    if table:
        grid = document.add_table(rows=0, cols=len(table[0]))
        for row in table:
            for cell, text in zip(grid.add_row().cells, row, strict=True):
                cell.text = text
    document.save(str(path))
    return path


def bomb(path: Path, megabytes: int) -> Path:
    """A Word document whose text unpacks to this many megabytes from a thousandth of them."""
    sound = io.BytesIO()
    docx.Document().save(sound)
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            if entry.filename != "word/document.xml":
                target.writestr(entry, source.read(entry))
        with target.open("word/document.xml", "w", force_zip64=True) as xml:
            for _ in range(megabytes):
                xml.write(b" " * 1_000_000)
    return path


def archive(path: Path, names: Iterable[str]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name in names:
            target.writestr(name, "<x/>")
    return path
