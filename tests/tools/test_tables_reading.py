"""From a file to rows: encodings, separators, kinds, limits, and what is said of a file that is no table."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools import tabling
from tools.tables import Rows, TableError, looks_like_table, read_rows, table_names
from tools.tables.limits import LIMITS


def read(path: Path, content: str | bytes | None = None, max_rows: int = 10_000) -> Rows:
    if content is not None:
        tabling.csv(path, content)
    return read_rows(tabling.upload(path), folder=path.parent / f"{path.name}.scratch", max_rows=max_rows)


def values(rows: Rows) -> list[list[Any]]:
    return [list(row.values()) for row in rows.rows]


def refused(path: Path, content: str | bytes | None = None) -> str:
    with pytest.raises(TableError) as caught:
        read(path, content)
    sentence = str(caught.value)
    assert repr(path.name) in sentence
    assert sentence.endswith(".")
    assert str(path.parent) not in sentence
    return sentence


def read_or_sentence(path: Path) -> Rows | str:
    try:
        return read(path)
    except TableError as error:
        return str(error)


def test_a_csv_has_numbers_dates_and_gaps(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", 'id,name,day,ok\n1,"a\nb",2024-01-31,true\n2,,,\n')
    assert rows.columns == ["id", "name", "day", "ok"]
    assert values(rows) == [[1, "a\nb", "2024-01-31", True], [2, None, None, None]]
    assert (rows.name, rows.remarks) == ("a.csv", [])


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, sign: str) -> None:
    assert values(read(tmp_path / "a.csv", f'x{sign}y\n1{sign}"a{sign}b"\n')) == [[1, f"a{sign}b"]]


def test_a_comma_can_be_the_decimal_sign(tmp_path: Path) -> None:
    assert values(read(tmp_path / "a.csv", "x;tag\n1,5;31.12.2024\n-2,25;01.02.2023\n")) == [
        [1.5, "2024-12-31"],
        [-2.25, "2023-02-01"],
    ]


def test_columns_without_a_header_are_numbered(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", "1,2\n3,4\n")
    assert (rows.columns, values(rows)) == (["column0", "column1"], [[1, 2], [3, 4]])


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", "name,age\n")
    assert (rows.columns, rows.rows) == (["name", "age"], [])


def test_equal_and_missing_names_are_told_apart(tmp_path: Path) -> None:
    assert len(set(read(tmp_path / "a.csv", "a,a,,b\n1,2,3,4\n").columns)) == 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_every_common_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = "stadt,zahl\n" + "Köln,1\nZürich,2\n" * 30
    rows = read(tmp_path / "a.csv", text.encode(encoding))
    assert rows.columns == ["stadt", "zahl"]
    assert values(rows)[:2] == [["Köln", 1], ["Zürich", 2]]


def test_mixed_encodings_are_read_line_by_line_and_told(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", "a,n\nä,1\n".encode() + "ö,2\n€,3\n".encode("cp1252"))
    assert values(rows) == [["ä", 1], ["ö", 2], ["€", 3]]
    assert "2 lines are not UTF-8 and read as Windows-1252" in rows.remarks[0]


def test_nul_bytes_are_left_out_and_told(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", b"a,b\n1,x\0y\n")
    assert values(rows) == [[1, "xy"]]
    assert "1 NUL byte" in rows.remarks[0]


def test_rows_of_other_widths_are_put_in_order_and_told(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", "a,b,c\n1,2,3\n4,5\n6,7,8,9\n")
    assert values(rows) == [[1, 2, 3], [4, 5, None], [6, 7, 8]]
    assert "more cells than the header has columns (first in line 4)" in rows.remarks[0]
    assert "fewer cells than the header has columns (first in line 3)" in rows.remarks[1]


def test_a_quotation_mark_left_open_is_told(tmp_path: Path) -> None:
    assert "not closed" in read(tmp_path / "a.csv", 'a,b\n1,"x\n2,y\n').remarks[-1]


def test_a_text_late_in_a_column_of_numbers_makes_it_text(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 25_000 + "n/a,3\n", max_rows=30_000)
    assert rows.rows[-1] == {"a": "n/a", "b": 3}
    assert rows.rows[0] == {"a": "1", "b": 2}


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    path = tabling.parquet(
        tmp_path / "a.parquet", "SELECT 1 AS i, 2.5::DECIMAL(9,2) AS d, DATE '2024-05-01' AS t, [1, 2] AS l, 'x' AS s"
    )
    assert values(read(path)) == [[1, 2.5, "2024-05-01", "[1, 2]", "x"]]


def test_a_workbooks_first_sheet_with_cells_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    path = tabling.xlsx(tmp_path / "a.xlsx", Empty=[], Sales=[["city", "n"], ["Köln", 3], ["=1+1", 4.5]], More=[["x"]])
    rows = read(path)
    assert values(rows) == [["Köln", 3], ["=1+1", 4.5]]
    assert "only the sheet 'Sales' was read, not 'Empty', 'More'" in rows.remarks[0]


def test_a_kind_is_told_by_the_content_whatever_the_name(tmp_path: Path) -> None:
    table = tabling.parquet(tmp_path / "wrong.csv", "SELECT 7 AS a")
    book = tabling.xlsx(tmp_path / "wrong.parquet", One=[["a"], [7]])
    assert values(read(table)) == values(read(book)) == values(read(tmp_path / "wrong.xlsx", "a\n7\n")) == [[7]]


def test_more_rows_than_wanted_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="has 3 rows; at most 2"):
        read(tmp_path / "a.csv", "a\n1\n2\n3\n", max_rows=2)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"  \n\n ", "holds no text"),
        ("a.csv", bytes(range(256)) * 20, "it is not text"),
        ("a.csv", b"%PDF-1.7\nx", "it is not text"),
        ("a.csv", b"<!DOCTYPE html><table></table>", "a web page"),
        ("a.csv", b"\x1f\x8b\x08\x00rest", "compressed"),
        ("a.xlsx", bytes.fromhex("D0CF11E0A1B11AE1") + b"\0" * 99, "old Excel file or one with a password"),
        ("a.xlsx", b"PK\x03\x04 and no more", "damaged Excel file"),
        ("a.csv", b"PK\x03\x04 and no more", "damaged zip archive"),
        ("a.xlsx", b"\x01\x02\x03\x04" * 99, "not an Excel file, though its name says so"),
        ("a.parquet", b"\x01\x02\x03\x04" * 99, "not a Parquet file, though its name says so"),
        ("a.parquet", b"PAR1 and no end", "damaged Parquet file"),
        ("a.parquet", b"PAR1" + b"\xff" * 200 + b"PAR1", "is damaged"),
        ("a.md", b"# Not a table", "not a table"),
        ("a.csv", (",".join(f"c{i}" for i in range(10_000)) + "\n").encode(), "10,000 columns; at most 1,000"),
        ("a.csv", b"x" * 3_000_000, "first line"),
        ("a.csv", b'a,b\n1,"' + b"x\n" * 600_000, "quotation mark is not closed"),
        ("a.csv", b"a,b\n" + b"\xff" * 2_100_000, "a line of more than 2 MB"),
    ],
)
def test_what_is_no_table_gets_a_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    assert said in refused(tmp_path / name, content)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.99])
def test_truncated_files_get_a_sentence(tmp_path: Path, keep: float) -> None:
    whole = [
        tabling.xlsx(tmp_path / "whole.xlsx", A=[["a", "b"], *[[i, f"text {i}"] for i in range(200)]]),
        tabling.parquet(tmp_path / "whole.parquet", "SELECT range AS a, 'x' || range AS b FROM range(2000)"),
    ]
    for path in whole:
        content = path.read_bytes()
        assert "damaged" in refused(tmp_path / f"cut{path.suffix}", content[: int(len(content) * keep)])


def test_a_zip_that_is_no_workbook_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    assert "a zip archive, not an .xlsx workbook" in refused(tmp_path / "a.xlsx")


def test_a_zip_bomb_is_refused_before_it_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tabling.xlsx(tmp_path / "bomb.xlsx", A=[["a"]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/media/x", "w") as entry:
        for _ in range(41):
            entry.write(b" " * 1_000_000)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr("tools.tables.workbook.LIMITS", type(LIMITS)(unpacked_bytes=40_000_000))
    assert "unpacks to more than 40 MB" in refused(path)


def test_a_zip_bomb_that_lies_about_its_size_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tabling.xlsx_of(tmp_path / "lies.xlsx", {"A": "<worksheet>" + " " * 3_000_000 + "</worksheet>"})
    content = path.read_bytes()
    size = len("<worksheet></worksheet>") + 3_000_000
    path.write_bytes(content.replace(size.to_bytes(4, "little"), (50).to_bytes(4, "little")))
    assert path.read_bytes() != content
    monkeypatch.setattr("tools.tables.workbook.LIMITS", type(LIMITS)(unpacked_bytes=2_000_000))
    assert "unpacks to more than 2 MB" in refused(path)


MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
        "<row><c r='A1'><v>1</v></c><c\nr = 'XFD1048576' ><v>1</v></c></row>",
        f'<row r="1">{"<c><v>1</v></c>" * 9_000}</row><row r="1048576"><c><v>1</v></c></row>',
        f'<row r="1"><c r="A1"><v>1</v></c><c{" " * 200_000}r="XFD1048576"><v>1</v></c></row>',
    ],
)
def test_cells_at_opposite_corners_of_a_sheet_are_refused(tmp_path: Path, rows: str) -> None:
    sheet = f"<worksheet {MAIN}><sheetData>{rows}</sheetData></worksheet>"
    assert "cells; at most 10,000,000 can be read" in refused(tabling.xlsx_of(tmp_path / "a.xlsx", {"A": sheet}))


def test_a_sheet_whose_cells_do_not_say_where_they_stand_is_read(tmp_path: Path) -> None:
    rows = "<row><c><v>1</v></c><c><v>2</v></c></row>" * 40_000
    sheet = f'<worksheet {MAIN}><dimension ref="A1:XFD1048576"/><sheetData>{rows}</sheetData></worksheet>'
    path = tabling.xlsx_of(tmp_path / "a.xlsx", {"A": sheet})
    assert len(read(path, max_rows=50_000).rows) == 40_000


@given(content=st.binary(max_size=300), head=st.sampled_from([b"", b"a,b\n1,2\n", b"PK\x03\x04", b"PAR1", b"\xff\xfe"]))
def test_random_bytes_are_a_table_or_a_sentence(tmp_path: Path, content: bytes, head: bytes) -> None:
    path = tabling.csv(tmp_path / "a.csv", head + content)
    rows = read_or_sentence(path)
    assert rows.endswith(".") if isinstance(rows, str) else all(list(row) == rows.columns for row in rows.rows)


@given(place=st.floats(0, 1), byte=st.integers(0, 255), suffix=st.sampled_from([".xlsx", ".parquet"]))
def test_one_wrong_byte_is_a_table_or_a_sentence(tmp_path: Path, place: float, byte: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".xlsx":
        tabling.xlsx(path, A=[["a", "b"], [1, "x"], [2, "y"]])
    else:
        tabling.parquet(path, "SELECT range AS a, 'x' AS b FROM range(20)")
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] = byte
    path.write_bytes(content)
    rows = read_or_sentence(path)
    assert rows.endswith(".") if isinstance(rows, str) else len(rows.columns) == 2


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    read(tabling.xlsx(tmp_path / "a.xlsx", A=[["a"], [1]]))
    assert [path for path in (tmp_path / "a.xlsx.scratch").rglob("*") if path.is_file()] == []


def test_tables_are_named_after_their_files() -> None:
    files = ["Shop orders (2025).csv", "shop-orders-2025.xlsx", "2024.csv", "Ümläut.tsv", "select.csv", "日本.parquet"]
    assert table_names(files) == ["shop_orders_2025", "shop_orders_2025_2", "t_2024", "umlaut", "t_select", "t"]


def test_only_tables_are_taken_from_a_conversation() -> None:
    assert [name for name in ("a.CSV", "b.tsv", "c.xlsx", "d.parquet", "e.pdf", "f") if not looks_like_table(name)] == [
        "e.pdf",
        "f",
    ]
