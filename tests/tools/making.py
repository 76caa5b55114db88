"""Real documents for the tests, made on the spot."""

import io
import textwrap
import zipfile
from collections.abc import Iterable
from pathlib import Path

import docx
import pypdfium2
from PIL import Image
from pypdf import PdfReader, PdfWriter

_FONT = "<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman /Encoding /WinAnsiEncoding >>"


def pdf(
    path: Path, pages: Iterable[str], *, head: str = "", password: str = "", owner: str = "", broken: int = 0
) -> Path:
    """One page for each text; `head` goes above it, its number below. `broken`: the page that cannot be read."""
    contents = [_page(text, head, number) for number, text in enumerate(pages, 1)]
    filters = ["/Filter /Unheard-of" if number == broken else "" for number in range(1, len(contents) + 1)]
    path.write_bytes(_file(contents, filters))
    if password or owner:
        writer = PdfWriter(clone_from=PdfReader(path))
        writer.encrypt(user_password=password, owner_password=owner or "owner", algorithm="AES-256")
        writer.write(path)
    return path


def scan(path: Path, pages: int) -> Path:
    """Pages with a black square and no text."""
    path.write_bytes(_file([b"100 300 400 400 re f"] * pages, [""] * pages))
    return path


def scanned(path: Path, pages: Iterable[str]) -> Path:
    """Pages that are pictures of their text."""
    pictures = [picture_of(text) for text in pages]
    pictures[0].save(path, format="PDF", save_all=True, append_images=pictures[1:], resolution=150)
    return path


def picture_of(text: str) -> Image.Image:
    """A page of 150 dots an inch, as a scanner sees it."""
    picture: Image.Image = pypdfium2.PdfDocument(_file([_page(text, "", 1)], [""]))[0].render(scale=150 / 72).to_pil()
    return picture


def _page(text: str, head: str, number: int) -> bytes:
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, 96, break_on_hyphens=False)]
    if head:
        lines = [head, *lines, str(number)]
    shown = "".join(f"({_escaped(line)}) Tj T*\n" for line in lines)
    return f"BT /F1 11 Tf 13 TL 50 790 Td\n{shown}ET".encode("cp1252")


def _escaped(line: str) -> str:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _file(contents: list[bytes], filters: list[str]) -> bytes:
    """A PDF by hand: catalogue, page tree, font, then each page and its content."""
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>".encode(),
    ]
    objects.append(_FONT.encode())
    for index, (content, coded) in enumerate(zip(contents, filters, strict=True)):
        page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"{page} /Contents {5 + 2 * index} 0 R >>".encode())
        objects.append(f"<< /Length {len(content)} {coded} >>\nstream\n".encode() + content + b"\nendstream")
    out = io.BytesIO(b"%PDF-1.7\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return out.getvalue()


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
