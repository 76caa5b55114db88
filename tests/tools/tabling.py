"""Tables for the tests, made on the spot, and a context to call a table tool's function without a host."""

import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import duckdb

from toolkit import FileInfo, ToolContext, UploadedFile
from toolkit.context import CallInfo
from toolkit.handler import Asked, SaveArtifact


class Desk:
    """What a call said and saved; it is the context's Link, and makes the context."""

    cancelled = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.progresses: list[tuple[float, float | None, str]] = []
        self.logs: list[tuple[str, str]] = []
        self.artifacts: dict[str, bytes] = {}

    def context(self, *files: Path) -> ToolContext:
        infos = tuple(info(path) for path in files)
        return ToolContext(
            self,
            CallInfo(
                thread_id="thread_1",
                user="ada",
                idempotency_key="job_1/call:0",
                files=infos,
                scratch=str(self.scratch),
                storage=str(self.folder / "storage"),
            ),
        )

    def json(self, name: str) -> Any:
        return json.loads(self.artifacts[name])

    def clear(self) -> None:
        """For the next call."""
        shutil.rmtree(self.scratch)
        self.scratch.mkdir()
        self.artifacts.clear()

    def request(self, asked: Asked) -> "Future[Any]":
        assert isinstance(asked, SaveArtifact)
        self.artifacts[asked.name] = Path(asked.path).read_bytes()
        answer: Future[Any] = Future()
        answer.set_result(None)
        return answer

    async def answer(self, request: "Future[Any]") -> Any:
        return request.result()

    def progress(self, done: float, total: float | None, message: str) -> None:
        self.progresses.append((done, total, message))

    def log(self, level: str, message: str) -> None:
        self.logs.append((level, message))

    def plan(self, items: Sequence[tuple[str, str]]) -> None:
        raise NotImplementedError

    def source(self, title: str, *, url: str | None, file_id: str | None, page: int | None) -> None:
        raise NotImplementedError

    def write(self, text: str, place: int, piece: int) -> None: ...

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        yield


def info(path: Path) -> FileInfo:
    return FileInfo(id=path.name, name=path.name, mime="text/csv", size=path.stat().st_size, path=str(path))


def upload(path: Path) -> UploadedFile:
    return UploadedFile(path.name, info(path))


def csv(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path, select: str) -> Path:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


_PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default '
    'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml"'
    ' ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats'
    '-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
    'Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
}
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def xlsx(path: Path, **sheets: Iterable[Sequence[object]]) -> Path:
    return xlsx_of(path, {name: sheet_of(rows) for name, rows in sheets.items()})


def sheet_of(rows: Iterable[Sequence[object]]) -> str:
    body = "".join(
        f'<row r="{r}">{"".join(_cell(f"{letters(c)}{r}", value) for c, value in enumerate(row))}</row>'
        for r, row in enumerate(rows, 1)
    )
    return f"<worksheet {_MAIN}><sheetData>{body}</sheetData></worksheet>"


def xlsx_of(path: Path, sheets: dict[str, str]) -> Path:
    """A workbook of sheets given as their XML."""
    listed = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="s{i}"/>' for i, name in enumerate(sheets, 1))
    related = "".join(
        f'<Relationship Id="s{i}" Type="{_REL}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    parts = {
        **_PARTS,
        "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_REL}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": "<Relationships "
        f'xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{related}</Relationships>',
        **{f"xl/worksheets/sheet{i}.xml": text for i, text in enumerate(sheets.values(), 1)},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    path.write_bytes(out.getvalue())
    return path


def _cell(reference: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f'<c r="{reference}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{reference}"><v>{value}</v></c>'


def letters(column: int) -> str:
    """0 is A, 26 is AA."""
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text
