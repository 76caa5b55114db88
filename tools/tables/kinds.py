"""Detects the kind of a table file by its content, or by its name if the content does not tell."""

import re
import zipfile
from pathlib import Path
from typing import Literal

from tools.tables.limits import LIMITS, TableError

Kind = Literal["csv", "parquet", "xlsx"]
READABLE = "CSV, TSV, Excel (.xlsx) and Parquet files"
SUFFIXES = (".csv", ".tsv", ".tab", ".xlsx", ".parquet")

_HEAD_BYTES = 4_096
_ARCHIVE = b"PK\x03\x04"
_PARQUET = b"PAR1"
_OLE = bytes.fromhex("D0CF11E0A1B11AE1")
"""The signature of .xls, and of .xlsx with a password."""
_GZIP = b"\x1f\x8b"
_MEDIA = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"ID3", b"OggS", b"fLaC", b"%PDF-", b"\x7fELF", b"SQLite f")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b\0"))
_NO_TABLES = {".pdf", ".docx", ".html", ".htm", ".md", ".json", ".jsonl", ".xml"}


def looks_like_table(name: str) -> bool:
    """Whether a file of the conversation is a table, by its name alone."""
    return Path(name).suffix.lower() in SUFFIXES


def kind_of(path: Path, name: str) -> Kind:
    """Returns the file's kind. Raises TableError when it is not a table, empty or too large."""
    size = path.stat().st_size
    if size == 0:
        raise TableError(f"{name!r} is empty.")
    if size > LIMITS.bytes_per_file:
        raise TableError(
            f"{name!r} has {size / 1e9:,.1f} GB; at most {LIMITS.bytes_per_file / 1e9:,.0f} GB can be read. "
            "Split it into parts."
        )
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_PARQUET):
        _check_parquet_end(path, name, size)
        return "parquet"
    if head.startswith(_ARCHIVE):
        _check_archive(path, name)
        return "xlsx"
    _refuse(name, head)
    return "csv"


def _check_parquet_end(path: Path, name: str, size: int) -> None:
    with path.open("rb") as file:
        file.seek(max(0, size - 4))
        if size < 12 or file.read(4) != _PARQUET:
            raise TableError(f"{name!r} is a damaged Parquet file: its end is missing. Save or upload it again.")


def _check_archive(path: Path, name: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        if Path(name).suffix.lower() == ".xlsx":
            raise TableError(
                f"{name!r} is a damaged Excel file: its end is missing or broken. Save or upload it again."
            ) from error
        raise _unreadable(name, "a damaged zip archive") from error
    if "xl/workbook.xml" not in names:
        what = "an Excel file of another kind" if any(entry.startswith("xl/") for entry in names) else "a zip archive"
        raise _unreadable(name, f"{what}, not an .xlsx workbook")


def _refuse(name: str, head: bytes) -> None:
    suffix = Path(name).suffix.lower()
    if head.startswith(_OLE):
        raise TableError(
            f"{name!r} is an old Excel file or one with a password. Save it as .xlsx or CSV without a password."
        )
    if head.startswith(_GZIP):
        raise TableError(f"{name!r} is compressed. Unpack it first and send what is inside.")
    if suffix in (".xlsx", ".parquet") and _binary(head):
        what = "an Excel" if suffix == ".xlsx" else "a Parquet"
        raise TableError(f"{name!r} is not {what} file, though its name says so. Save or upload it again.")
    if head.startswith(_MEDIA) or _binary(head):
        raise _unreadable(name, "not text")
    if re.match(rb"\s*(?:<!doctype|<html|<\?xml)", head.removeprefix(_MARKS[0]), re.IGNORECASE):
        raise _unreadable(name, "a web page or XML")
    if suffix in _NO_TABLES:
        raise _unreadable(name, "not a table, by its name")


def _binary(head: bytes) -> bool:
    """Whether the bytes are not text. Text may have a stray NUL; UTF-16 has one in every other byte."""
    if head.startswith(_MARKS):
        return False
    if len(head.translate(None, _CONTROL)) < 0.98 * len(head):
        return True
    even, odd = head[::2].count(0), head[1::2].count(0)
    return min(even, odd) * 20 > len(head)


def _unreadable(name: str, what: str) -> TableError:
    return TableError(f"{name!r} cannot be read as a table: it is {what}. {READABLE} can.")
