"""Converts one sheet of an XLSX workbook to CSV on disk. Checks it first, because the parser loads all of it."""

import csv
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import BinaryIO

from python_calamine import CalamineError, CalamineWorkbook

from tools.tables.limits import LIMITS, TableError

_CHUNK = 1 << 18
_MAX_TAG = 1 << 16
"""Maximum bytes kept of a tag or text that is cut by the end of a chunk."""
_CELL = re.compile(rb"""\sr\s*=\s*["']\s*([A-Za-z]{1,8})(\d{1,12})""")
_ROW = re.compile(rb"""\sr\s*=\s*["']\s*(\d{1,12})""")
_ROW_TAG = re.compile(rb"<(?:[\w.-]+:)?row(?=[\s/>])")
_CELL_TAG = re.compile(rb"<(?:[\w.-]+:)?c(?=[\s/>])")
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def to_csv(path: Path, name: str, target: Path, sheet: str = "") -> list[str]:
    """Writes the named sheet, or the first that is not empty; returns remarks. Raises TableError."""
    try:
        _check(path, name)
        with CalamineWorkbook.from_path(path) as workbook:
            return _write(workbook, name, target, sheet)
    except (CalamineError, zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError) as error:
        raise _damaged(name) from error
    except BaseException as error:
        # A panic of the parser is not an Exception; other such errors must pass.
        if type(error).__name__ == "PanicException":
            raise _damaged(name) from error
        raise


def _damaged(name: str) -> TableError:
    return TableError(f"{name!r} is a damaged Excel file. Open it in a spreadsheet, save it again and send that.")


def _check(path: Path, name: str) -> None:
    """Checks the sizes that the archive states, then the real ones, because the former may be false."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        entries = archive.infolist()
        if any(entry.flag_bits & 1 for entry in entries):
            raise TableError(f"{name!r} has a password. Save it without one and send that.")
        _check_size(sum(entry.file_size for entry in entries), name)
        total = 0
        for entry in entries:
            extent = _Extent()  # measured for every entry, because a workbook may keep its sheets anywhere
            for chunk in _inflated(file, entry):
                total += len(chunk)
                _check_size(total, name)
                extent.see(chunk)
            if extent.cells > LIMITS.sheet_cells:
                raise TableError(
                    f"A sheet of {name!r} spans {extent.cells:,} cells; at most {LIMITS.sheet_cells:,} can be read. "
                    "Save it as CSV, or delete cells far outside the table."
                )


def _check_size(size: int, name: str) -> None:
    if size > LIMITS.unpacked_bytes:
        raise TableError(
            f"{name!r} unpacks to more than {LIMITS.unpacked_bytes / 1e6:,.0f} MB, which is the limit for an "
            "Excel file. Save it as CSV and send that."
        )


def _inflated(file: BinaryIO, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yields the entry's real content, regardless of the size in its header."""
    file.seek(entry.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("no local header")
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    if entry.compress_type == _STORED:
        left = entry.compress_size
        while left > 0 and (chunk := file.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk
        return
    if entry.compress_type != _DEFLATED:
        raise zipfile.BadZipFile("an unusual compression")
    inflate = zlib.decompressobj(-15)
    while not inflate.eof:
        packed = inflate.unconsumed_tail or file.read(_CHUNK)
        if not packed:
            raise EOFError
        yield inflate.decompress(packed, _CHUNK)


class _Extent:
    """The rectangle that a sheet's cells span. The parser allocates all of it, even if few cells are filled.

    Cells and rows state their position, or follow the previous one.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._row_tags = 0
        self._cells_in_row = 0
        self._rows = [0, 0]  # the least and the greatest number stated; 0: none yet
        self._columns = [0, 0]
        self._widest = 0

    def see(self, chunk: bytes) -> None:
        text = self._rest + chunk
        end = text.rfind(b"<")  # tags are examined only when complete
        self._rest = text[max(end, len(text) - _MAX_TAG) :]
        text = text[: len(text) - len(self._rest)]
        _widen(self._rows, {int(number) for number in _ROW.findall(text)})
        references = _CELL.findall(text)
        _widen(self._rows, {int(number) for _, number in references})
        _widen(self._columns, {_column(letters) for letters in {letters for letters, _ in references}})
        for index, part in enumerate(_ROW_TAG.split(text)):
            if index:
                self._row_tags += 1
                self._cells_in_row = 0
            self._cells_in_row += len(_CELL_TAG.findall(part))
            self._widest = max(self._widest, self._cells_in_row)

    @property
    def cells(self) -> int:
        if not self._widest:
            return 0
        rows = max(self._rows[1] - self._rows[0] + 1, self._row_tags)
        return rows * max(self._columns[1] - self._columns[0] + 1, self._widest)


def _widen(span: list[int], numbers: set[int]) -> None:
    if numbers:
        span[0] = min(numbers | ({span[0]} if span[0] else set()))
        span[1] = max(numbers | {span[1]})


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number


def _write(workbook: CalamineWorkbook, name: str, target: Path, sheet: str) -> list[str]:
    names = workbook.sheet_names
    if sheet and sheet not in names:
        raise TableError(f"{name!r} has no sheet {sheet!r}; its sheets are {', '.join(map(repr, names[:20]))}.")
    for candidate in [sheet] if sheet else names:
        rows = workbook.get_sheet_by_name(candidate).iter_rows()
        if _write_rows(rows, name, target):
            others = [other for other in names if other != candidate]
            if sheet or not others:
                return []
            return [f"{name!r}: only the sheet {candidate!r} was read, not {', '.join(map(repr, others[:20]))}."]
    raise TableError(f"{name!r} holds no cells" + (f" in the sheet {sheet!r}." if sheet else "."))


def _write_rows(rows: Iterator[Sequence[object]], name: str, target: Path) -> bool:
    """Writes the rows. Returns whether there were any."""
    any_row = False
    with target.open("w", encoding="utf-8", newline="") as sink:
        writer = csv.writer(sink, lineterminator="\n")
        for row in rows:
            if len(row) > LIMITS.columns:
                raise TableError(
                    f"{name!r} has {len(row):,} columns; at most {LIMITS.columns:,} can be read. Keep only those you "
                    "need."
                )
            cells = [_cell(value) for value in row]
            if any(cells):
                any_row = True
                writer.writerow(cells)
    return any_row


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value).replace("\0", "")
