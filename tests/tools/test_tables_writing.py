"""Tables on their way out."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from tools.tables import write_csv, write_parquet


@pytest.mark.parametrize("value", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "+49 30 1234"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(tmp_path: Path, value: str) -> None:
    write_csv(tmp_path / "a.csv", ["a"], [[value]])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert f"'{value}" in file.read()


@pytest.mark.parametrize("value", ["-5", "+1.5", "-1e-9", "-12,5", "-3 apples"[1:2], "a=b", -7, -0.5])
def test_plain_numbers_and_words_stay_as_they_are(tmp_path: Path, value: object) -> None:
    write_csv(tmp_path / "a.csv", ["a"], [[value]])
    assert "'" not in (tmp_path / "a.csv").read_text()


def test_a_header_cell_is_guarded_too_and_there_is_no_mark(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["=evil", "ä"], [[None, "x,y\nz"], [True, date(2024, 5, 1)]])
    assert (tmp_path / "a.csv").read_bytes() == '\'=evil,ä\n,"x,y\nz"\ntrue,2024-05-01\n'.encode()


def test_parquet_keeps_values_and_finds_common_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows: list[list[object]] = [[1, 1, "=1+1", None, True, 2**70], [2, 2.5, None, None, False, 1]]
    write_parquet(path, ["a", "A", "", "d", "e", "f"], rows)
    with duckdb.connect() as connection:
        found = connection.execute(f"FROM '{path}'")
        assert [str(column[1]) for column in found.description] == [
            *("BIGINT", "DOUBLE", "VARCHAR", "VARCHAR", "BOOLEAN", "VARCHAR")
        ]
        assert found.fetchall() == [(1, 1.0, "=1+1", None, True, str(2**70)), (2, 2.5, None, None, False, "1")]
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_table_without_rows_can_be_written(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ["a"], [])
    write_csv(tmp_path / "a.csv", ["a"], [])
    assert (tmp_path / "a.csv").read_text() == "a\n"
