"""The database once it is locked: what the check of a statement lets pass must still do no harm."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.tools import tabling
from tools.tables import RESULT, Database, Interrupted, read_rows

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("HTTP_PROXY", "http://someone:password@proxy:1")
    (tmp_path / "database").mkdir()
    (tmp_path / "private.csv").write_text("a\n1\n")
    with Database(tmp_path / "database") as database:
        database.load(tabling.csv(tmp_path / "t.csv", "a,b\n1,x\n"), "t.csv", "t")
        database.lock()
        yield database


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_csv('{folder}/private.csv')",
        "FROM read_blob('{folder}/private.csv')",
        "FROM glob('{folder}/*')",
        "FROM '{folder}/private.csv'",
        "COPY t TO '{folder}/out.csv'",
        "ATTACH '{folder}/other.duckdb'",
        "EXPORT DATABASE '{folder}/out'",
        "FROM read_parquet('https://example.org/a.parquet')",
        "INSERT INTO t VALUES (2, 'y')",
        "DROP TABLE t",
        "CREATE TABLE tables.main.x AS SELECT 1",
        "SET threads = 8",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "INSTALL httpfs",
        "LOAD httpfs",
    ],
)
def test_nothing_outside_can_be_reached_and_nothing_changed(locked: Database, tmp_path: Path, sql: str) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(duckdb.Error):
        locked.read(sql.format(folder=tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert locked.read("FROM t") == [(1, "x")]


def test_no_setting_shows_a_password_of_the_environment(locked: Database) -> None:
    assert "someone:" not in str(locked.read("FROM duckdb_settings()"))


def test_a_result_can_be_kept(locked: Database) -> None:
    locked.read(f"CREATE TABLE {RESULT} AS SELECT a + 1 AS n FROM t")
    assert locked.read(f"FROM {RESULT}") == [(2,)]
    assert locked.read("SHOW TABLES") == [("t",)]


def test_a_statement_is_interrupted_at_its_time(locked: Database) -> None:
    with pytest.raises(Interrupted), locked.at_most(0.2):
        locked.read("SELECT count(*) FROM range(1000000000000) a, range(1000000) b")
    assert locked.read("SELECT 1") == [(1,)]


def test_dates_of_a_workbook_are_dates(tmp_path: Path) -> None:
    rows = read_rows(tabling.upload(SAMPLES / "shops.xlsx"), folder=tmp_path / "scratch", max_rows=10)
    assert rows.rows[0] == {
        "shop": "S1",
        "place": "Harbour",
        "opened": "2011-04-02",
        "square_metres": 320,
        "staff": 9,
    }
    assert rows.rows[4]["place"] is None
