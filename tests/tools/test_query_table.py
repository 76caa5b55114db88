"""The tool called as a function, with a recording context; once in a real tool host."""

import importlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import pytest_asyncio

from tests.toolkit.recording import ORIGIN, RecordingHandler
from tests.tools import tabling
from toolkit import ToolError
from toolkit.pool import HostPool
from tools.query_table import query_table

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


def drawn(figure: str) -> Any:
    """Read by the library that draws it, which refuses what is no figure."""
    return importlib.import_module("plotly.io").from_json(figure)


@pytest.fixture
def desk(tmp_path: Path) -> tabling.Desk:
    return tabling.Desk(tmp_path)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    return tabling.csv(tmp_path / "Shop orders.csv", "city,amount\nBonn,10\nKöln,20\nBonn,5\n=cmd,1\n")


@pytest.fixture
def refused(desk: tabling.Desk, orders: Path) -> Any:
    def ask(sql: str, **arguments: Any) -> str:
        with pytest.raises(ToolError) as caught:
            query_table(desk.context(orders), sql=sql, **arguments)
        sentence = str(caught.value)
        assert str(desk.folder) not in sentence
        assert not desk.artifacts
        return sentence

    return ask


def test_a_question_is_answered_with_rows_a_table_and_a_download(desk: tabling.Desk, orders: Path) -> None:
    sql = "SELECT city, sum(amount) AS total FROM shop_orders GROUP BY city ORDER BY total DESC; -- that is all"
    result = query_table(desk.context(orders), sql=sql)
    assert result["rows"] == [["Köln", 20], ["Bonn", 15], ["=cmd", 1]]
    assert result["columns"] == [{"name": "city", "type": "VARCHAR"}, {"name": "total", "type": "HUGEINT"}]
    assert result["row_count"] == result["rows_shown"] == 3
    assert result["tables"] == [
        {"name": "shop_orders", "file": "Shop orders.csv", "rows": 4, "columns": ["city", "amount"]}
    ]
    assert result["summary"].startswith("**3 rows**, 2 columns. Tables: `shop_orders` (4 rows).")
    shown = desk.json("result.table.json")
    assert shown == {
        "columns": ["city", "total"],
        "index": [1, 2, 3],
        "data": [["Köln", 20], ["Bonn", 15], ["=cmd", 1]],
    }
    assert desk.artifacts["result.csv"].decode() == "city,total\nKöln,20\nBonn,15\n'=cmd,1\n"


def test_tables_of_the_conversation_can_be_joined(desk: tabling.Desk) -> None:
    context = desk.context(SAMPLES / "shop-orders.csv", SAMPLES / "incident-report.md", SAMPLES / "shops.xlsx")
    sql = "SELECT staff, count(*) AS n FROM shop_orders JOIN shops USING (shop) GROUP BY staff ORDER BY n DESC LIMIT 1"
    result = query_table(context, sql=sql)
    assert [table["name"] for table in result["tables"]] == ["shop_orders", "shops"]
    assert result["rows"] == [[5, 729]]


@pytest.mark.parametrize("sql", ["FROM t", "WITH a AS (FROM t) FROM a", "SHOW TABLES", "DESCRIBE t", "SUMMARIZE t"])
def test_every_way_of_reading_is_allowed(desk: tabling.Desk, sql: str) -> None:
    table = tabling.csv(desk.folder / "t.csv", "a,b\n1,x\n")
    assert query_table(desk.context(table), sql=sql)["row_count"] > 0


def test_only_the_users_tables_are_shown(desk: tabling.Desk, orders: Path) -> None:
    assert query_table(desk.context(orders), sql="SHOW TABLES")["rows"] == [["shop_orders"]]


def test_a_table_may_be_called_result(desk: tabling.Desk) -> None:
    table = tabling.csv(desk.folder / "result.csv", "a\n7\n")
    assert query_table(desk.context(table), sql="SELECT a + 1 FROM result")["rows"] == [[8]]


def test_parquet_keeps_the_types(desk: tabling.Desk, orders: Path) -> None:
    query_table(desk.context(orders), sql="SELECT DATE '2024-05-01' AS d, 1.50::DECIMAL(5,2) AS x", download="parquet")
    path = desk.folder / "out.parquet"
    path.write_bytes(desk.artifacts["result.parquet"])
    with duckdb.connect() as connection:
        assert [str(column[1]) for column in connection.execute(f"FROM '{path}'").description] == [
            "DATE",
            "DECIMAL(5,2)",
        ]
    assert "result.csv" not in desk.artifacts


def test_a_long_result_is_shown_in_part_and_saved_whole(desk: tabling.Desk, orders: Path) -> None:
    sql = "SELECT range AS n, repeat('x', 5000) AS long FROM range(1200)"
    result = query_table(desk.context(orders), sql=sql)
    assert result["row_count"] == 1200
    assert 10 <= result["rows_shown"] <= 50
    assert len(result["rows"][0][1]) == 200
    assert len(json.dumps(result)) < 20_000
    assert len(desk.json("result.table.json")["data"]) == 1_000
    assert desk.artifacts["result.csv"].count(b"\n") == 1201
    assert "first 1,000 rows; the download has all 1,200" in result["remarks"][-1]


@pytest.mark.parametrize("kind", ["line", "bar", "scatter"])
def test_a_chart_is_drawn_of_the_number_columns(desk: tabling.Desk, orders: Path, kind: Any) -> None:
    query_table(desk.context(orders), sql="SELECT city, sum(amount) AS t FROM shop_orders GROUP BY ALL", chart=kind)
    figure = drawn(desk.artifacts["result.plotly.json"].decode())
    assert figure.data[0].type == ("bar" if kind == "bar" else "scatter")
    assert sorted(figure.data[0].y) == [1, 15, 20]


def test_a_chart_fits_a_phone_however_long_the_names_are(desk: tabling.Desk, orders: Path) -> None:
    long = "of all orders that came by letter post and were paid at once"
    sql = f"""SELECT city || ' {long}' AS "city {long}", amount AS "sum {long}", 1 AS n FROM shop_orders"""
    query_table(desk.context(orders), sql=sql, chart="bar")
    figure = drawn(desk.artifacts["result.plotly.json"].decode())
    lines = figure.layout.title.text.split("<br>")
    assert len(lines) == 2
    assert max(map(len, lines)) <= 30
    assert lines[1].endswith("…")
    assert figure.layout.legend.orientation == "h"
    assert figure.layout.margin.t >= 36 + 20 * 4, "room for two lines of each"
    assert figure.data[0].x == ("Bonn of all ord…", "Köln of all ord…", "Bonn of all ord…", "=cmd of all ord…")
    assert figure.data[0].hovertext[0].startswith("Bonn of all orders")


def test_a_chart_of_no_numbers_is_said_to_be_none(desk: tabling.Desk, orders: Path) -> None:
    result = query_table(desk.context(orders), sql="SELECT city FROM shop_orders", chart="bar")
    assert "There is no chart" in result["remarks"][0]


def test_a_syntax_error_comes_with_its_line_and_column(refused: Any) -> None:
    sentence = refused("SELECT city\nFROM shop_orders\nWHRE amount = 1")
    assert sentence.startswith('The SQL cannot be run: syntax error at or near "amount" (line 3, column 6).')
    assert sentence.endswith("\n\n    WHRE amount = 1\n         ^")


def test_an_unknown_column_comes_with_candidates(refused: Any) -> None:
    sentence = refused("SELECT city,\n       amont FROM shop_orders")
    assert 'Candidate bindings: "amount" (line 2, column 8)' in sentence
    assert sentence.endswith("amont FROM shop_orders\n           ^")


def test_the_place_is_right_in_a_long_line(refused: Any) -> None:
    sql = f"SELECT '{'a' * 300}', nope, '{'b' * 300}' FROM shop_orders"
    sentence = refused(sql)
    assert f"(line 1, column {sql.index('nope') + 1})" in sentence
    *_, line, caret = sentence.splitlines()
    assert line[caret.index("^") :].startswith("nope")


def test_an_unknown_table_comes_with_the_names_there_are(refused: Any) -> None:
    assert "The tables are shop_orders (line 1, column 15)" in refused("SELECT * FROM orders")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1; SELECT 2", "2 statements: write exactly one"),
        ("-- nothing", "0 statements: write exactly one"),
        ("INSERT INTO shop_orders VALUES ('x', 1)", "can only be read: write a SELECT"),
        ("DROP TABLE shop_orders", "not DROP"),
        ("WITH x AS (DELETE FROM shop_orders RETURNING *) FROM x", "The SQL cannot be run"),
        ("CREATE TABLE x AS SELECT 1", "not CREATE"),
        ("COPY shop_orders TO '/tmp/x.csv'", "not COPY"),
        ("EXPLAIN ANALYZE COPY shop_orders TO '/tmp/x.csv'", "not EXPLAIN"),
        ("ATTACH '/tmp/x.db'", "not ATTACH"),
        ("INSTALL httpfs", "can only be read"),
        ("LOAD httpfs", "can only be read"),
        ("SET threads = 64", "not SET"),
        ("PRAGMA database_list", "can only be read"),
        ("CALL pragma_version()", "not CALL"),
        ("SELECT * FROM read_csv('/etc/passwd')", "'read_csv' cannot be used here"),
        ("SELECT (SELECT content FROM read_text('/etc/passwd'))", "'read_text' cannot be used here"),
        ("SELECT * FROM glob('/*')", "'glob' cannot be used here"),
        ("SELECT getenv('HOME')", "'getenv' cannot be used here"),
        ("SELECT current_setting('http_proxy')", "'current_setting' cannot be used here"),
        ("FROM duckdb_settings()", "'duckdb_settings' cannot be used here"),
        ("FROM duckdb_databases", "'duckdb_databases' cannot be used here"),
        ("FROM query('FROM duckdb_settings()')", "'query' cannot be used here"),
        ("FROM '/etc/passwd'", "does not exist"),
        ("FROM 'https://example.org/a.parquet'", "Only the tables can be read, not files, settings or the network"),
        ("SELECT * FROM shop_orders WHERE amount = $1", "parameters without values ($1)"),
        ("PIVOT shop_orders ON city", "Name the values of this PIVOT"),
        ("SELECT '\0'", "NUL"),
        (f"SELECT {'(' * 9_000}1{')' * 9_000}", "expression depth limit"),
        (f"FROM {'(FROM ' * 1_200}shop_orders{')' * 1_200}", "nested too deep"),
        ("SELECT error('my own words')", "my own words"),
    ],
)
def test_whatever_does_not_just_read_the_tables_is_refused(refused: Any, sql: str, said: str) -> None:
    assert said in refused(sql)


def test_a_query_without_end_is_stopped(refused: Any) -> None:
    sentence = refused("SELECT count(*) FROM range(1000000000000) a, range(1000000) b", timeout_seconds=1)
    assert "did not finish within 1 s" in sentence


def test_a_query_that_needs_too_much_memory_is_refused(refused: Any) -> None:
    assert "more than 1000 MB of memory" in refused("SELECT string_agg(repeat('x', 20000000), '') FROM range(500)")


def test_no_table_at_all_is_said(desk: tabling.Desk) -> None:
    with pytest.raises(ToolError, match="There is no table to query"):
        query_table(desk.context(), sql="SELECT 1")


def test_a_damaged_table_is_said(desk: tabling.Desk) -> None:
    broken = tabling.csv(desk.folder / "a.parquet", b"PAR1 broken")
    with pytest.raises(ToolError, match=r"'a\.parquet' is a damaged Parquet file"):
        query_table(desk.context(broken), sql="SELECT 1")


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[HostPool]:
    async with HostPool([ROOT / "tools"], spare_hosts=0) as pool:
        yield pool


async def test_both_tools_work_in_a_real_host_and_leave_nothing(pool: HostPool, tmp_path: Path) -> None:
    handler = RecordingHandler(SAMPLES)
    origin = replace(ORIGIN, files=("shop-orders.csv",))
    result = await pool.call("query_table", {"sql": "SELECT count(*) FROM shop_orders"}, origin, handler)
    assert isinstance(result, dict)
    assert result["rows"] == [[2412]]
    assert set(handler.artifacts) == {"result.table.json", "result.csv"}
    analysed = await pool.call("analyze_table", {"table": "shop-orders.csv"}, origin, handler)
    assert isinstance(analysed, dict)
    assert analysed["rows"] == 2412
    assert "report.html" in handler.artifacts
    with pytest.raises(ToolError, match="cannot be run"):
        await pool.call("query_table", {"sql": "SELEC"}, origin, handler)
