"""The tool called as a function, with a recording context."""

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tests.tools import tabling
from toolkit import ToolError
from tools.analyze_table import analyze_table

SAMPLES = Path(__file__).parents[2] / "samples"


def drawn(figure: str) -> Any:
    """Read by the library that draws it, which refuses what is no figure."""
    return importlib.import_module("plotly.io").from_json(figure)


@pytest.fixture
def desk(tmp_path: Path) -> tabling.Desk:
    return tabling.Desk(tmp_path)


def analyze(desk: tabling.Desk, content: str, name: str = "a.csv", **arguments: Any) -> dict[str, Any]:
    return analyze_table(desk.context(tabling.csv(desk.folder / name, content)), **arguments)


def column(result: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in result["columns"] if one["name"] == name)
    return found


def figures(desk: tabling.Desk) -> dict[str, Any]:
    """Each read by the library that draws it."""
    names = [name for name in desk.artifacts if name.endswith(".plotly.json")]
    return {name.removesuffix(".plotly.json"): drawn(desk.artifacts[name].decode()) for name in names}


def panels_across(figure: Any) -> int:
    return len({figure.layout[name].domain for name in figure.layout if name.startswith("xaxis")})


def test_the_sample_is_analysed_with_what_was_put_into_it(desk: tabling.Desk) -> None:
    result = analyze_table(desk.context(SAMPLES / "shop-orders.csv"))
    assert (result["rows"], result["duplicate_rows"]) == (2412, 12)
    said = result["summary"]
    assert "12 duplicate rows (0.5 %)" in said
    assert "`product` has 5 spellings that differ from another only in capitals" in said
    assert "`rating` is empty in 945 rows (39.2 %)" in said
    assert "`total` has 217 outliers (9 %): above 166.6; its values run from 10.2 to 7,565" in said
    assert column(result, "order")["identifier"]
    assert result["over_time"]["unit"] == "week"
    assert len(json.dumps(result)) < 20_000
    assert set(figures(desk)) == {"missing", "over-time", "distributions", "frequent-values", "correlations"}
    assert [line.name for line in figures(desk)["over-time"].data] == [
        "rows",
        "sum of total",
        "mean of quantity",
        "mean of price",
    ]
    headings = [note.text for note in figures(desk)["distributions"].layout.annotations]
    assert "total<br>98 more, up to 7,565" in headings
    assert panels_across(figures(desk)["distributions"]) == 2
    assert panels_across(figures(desk)["frequent-values"]) == 1
    overview = desk.json("columns.table.json")
    assert [row[0] for row in overview["data"]] == [one["name"] for one in result["columns"]]
    assert all(len(row) == len(overview["columns"]) for row in overview["data"])


def test_numbers_are_measured_as_by_hand(desk: tabling.Desk) -> None:
    values = [*range(1, 20), 1_000]
    result = analyze(desk, "x,y\n" + "".join(f"{value},{-2 * value + 3}.5\n" for value in values))
    x = column(result, "x")
    mean = sum(values) / 20
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 19)
    assert (x["min"], x["max"], x["median"], x["outliers"], x["missing"], x["distinct"]) == (1, 1000, 10.5, 1, 0, 20)
    assert x["mean"] == mean
    assert x["std"] == pytest.approx(deviation, rel=1e-5)
    assert result["correlations"] == [{"columns": ["x", "y"], "r": -1.0}]
    assert "`x` and `y` go in opposite directions (r = -1.00)" in result["summary"]


def test_a_histogram_counts_every_value_that_is_not_far_out(desk: tabling.Desk) -> None:
    analyze(desk, "x\n" + "".join(f"{value / 7}\n" for value in range(500)))
    trace = figures(desk)["distributions"].data[0]
    assert sum(trace.y) == 500
    assert len(trace.x) == 30


def test_a_scale_of_few_values_has_no_outliers(desk: tabling.Desk) -> None:
    result = analyze(desk, "rating\n" + "5\n" * 60 + "4\n" * 60 + "1\n")
    assert column(result, "rating")["outliers"] == 0


def test_constant_and_empty_columns_are_told(desk: tabling.Desk) -> None:
    said = analyze(desk, "a,b,c\n" + "".join(f"{i % 7},x,\n" for i in range(50)))["summary"]
    assert "`b` has a single value in all filled rows" in said
    assert "`c` is empty in every row" in said


def test_a_clean_table_is_said_to_be_clean(desk: tabling.Desk) -> None:
    said = analyze(desk, "id,n\n" + "".join(f"{i},{(i * 7919) % 100}\n" for i in range(100)))["summary"]
    assert "Nothing stands out" in said


def test_time_is_followed_by_its_gaps(desk: tabling.Desk) -> None:
    days = [f"2024-03-{day:02d}" for day in range(1, 31) if day not in (10, 11)]
    rows = "".join(f"{day},{i}\n" for i, day in enumerate(days)) + "2024-03-15,5\n"
    result = analyze(desk, "day,n\n" + rows)
    assert result["over_time"] == {
        "column": "day",
        "unit": "day",
        "first": "2024-03-01 00:00",
        "last": "2024-03-30 00:00",
        "stretches": 28,
        "empty_stretches": 2,
    }
    assert "the day with the most rows begins 2024-03-15 (2)" in result["summary"]
    assert "2 days between the first and the last date without a row" in result["summary"]


def test_the_date_column_can_be_chosen(desk: tabling.Desk) -> None:
    content = "a,b\n" + "".join(f"2024-01-{day:02d},2023-01-{day:02d}\n" for day in range(1, 9))
    assert analyze(desk, content, date_column="B")["over_time"]["column"] == "b"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("nope", "has no column 'nope'. Its columns are 'a', 'b'."), ("b", "does not hold dates only. These do: 'a'.")],
)
def test_a_date_column_that_is_none_is_refused(desk: tabling.Desk, wanted: str, said: str) -> None:
    with pytest.raises(ToolError) as caught:
        analyze(desk, "a,b\n2024-01-01,x\n", date_column=wanted)
    assert said in str(caught.value)


def test_a_sheet_can_be_chosen(desk: tabling.Desk) -> None:
    book = tabling.xlsx(desk.folder / "a.xlsx", One=[["a"], [1]], Two=[["b"], [1], [2]])
    assert analyze_table(desk.context(book), sheet="Two")["rows"] == 2
    desk.clear()
    with pytest.raises(ToolError, match="no sheet 'Three'; its sheets are 'One', 'Two'"):
        analyze_table(desk.context(book), sheet="Three")


def test_a_header_alone_is_analysed(desk: tabling.Desk) -> None:
    result = analyze(desk, "a,b\n")
    assert result["rows"] == 0
    assert "a header but no rows" in result["summary"]
    assert result["charts"] == []


def test_the_newest_table_is_taken_and_none_is_said(desk: tabling.Desk) -> None:
    first, last = (tabling.csv(desk.folder / name, f"{name[0]}\n1\n") for name in ("x.csv", "y.csv"))
    assert analyze_table(desk.context(first, last, SAMPLES / "incident-report.md"))["file"] == "y.csv"
    with pytest.raises(ToolError, match=r"There is no table to analyse\. Attach one first"):
        analyze_table(desk.context(SAMPLES / "incident-report.md"))


def test_the_report_needs_no_network_and_runs_nothing_of_the_files(desk: tabling.Desk) -> None:
    evil = "</script><script>alert(1)</script>"
    analyze(desk, f"{evil},`b`\n" + f'"{evil}<img src=x onerror=alert(1)>",1\n' * 9 + "fine,2\n", name="<b>.csv")
    page = desk.artifacts["report.html"].decode()
    assert "Content-Security-Policy" in page
    assert "default-src 'none'" in page
    assert "alert(1)</script>" not in page
    assert "<img src=x" not in page
    assert "&lt;b&gt;.csv" in page
    assert "<script src" not in page
    assert "<link" not in page


def test_text_of_the_file_is_no_markup_in_charts_and_words(desk: tabling.Desk) -> None:
    result = analyze(desk, "`a` **b**,n\n" + "<a href='x'>y</a>,1\nz,2\n" * 20)
    assert "`'a' **b**`" in result["summary"]
    assert all(
        "<a" not in artifact.decode() for name, artifact in desk.artifacts.items() if name.endswith("plotly.json")
    )


def test_progress_goes_from_stage_to_stage(desk: tabling.Desk) -> None:
    analyze(desk, "a,b\n1,2\n")
    told = [message for _, _, message in desk.progresses]
    assert told == [
        *("Reading a.csv", "Looking for duplicate rows", "Measuring a", "Measuring b", "Comparing the columns"),
        *("Drawing the charts", "Writing the report", "Analysed"),
    ]
    assert desk.progresses[-1][0] == desk.progresses[-1][1]


def test_a_wide_table_is_analysed_and_its_value_stays_small(desk: tabling.Desk) -> None:
    head = ",".join(f"a column with a rather long name, number {i}".replace(",", "") for i in range(100))
    result = analyze(desk, f"{head}\n" + f"{','.join(['1'] * 100)}\n" * 3)
    assert len(json.dumps(result)) < 20_000
    assert result["columns_left_out"] == 70
    assert len(desk.json("columns.table.json")["data"]) == 100


def test_every_type_of_parquet_is_analysed(desk: tabling.Desk) -> None:
    select = """SELECT range AS i, (range / 3)::DECIMAL(18, 3) AS d, 'infinity'::DOUBLE AS inf, 'nan'::FLOAT AS nan,
        1e308 AS huge, 170141183460469231731687303715884105727::HUGEINT AS wide, [range, NULL] AS list,
        {'a': range} AS struct, MAP {'k': range} AS map, 'x'::BLOB AS bytes, range % 2 = 0 AS yes,
        DATE '2024-01-01' + range::INT AS day, 'infinity'::TIMESTAMP AS never, now() AS at, TIME '10:00' AS clock,
        INTERVAL 3 DAY AS span, uuid() AS id, '9999-12-31'::DATE AS far, '-290000-01-01 (BC)' AS text,
        DATE '0044-03-15 (BC)' AS old FROM range(50)"""
    path = tabling.parquet(desk.folder / "a.parquet", select)
    result = analyze_table(desk.context(path))
    assert result["rows"] == 50
    assert column(result, "i")["identifier"]
    assert len(result["columns"]) == 20


@settings(max_examples=examples(share=0.4))
@given(
    rows=st.lists(
        st.tuples(
            st.floats() | st.just(1e308) | st.integers(),
            st.text(max_size=12) | st.sampled_from(["=1+1", "`", "<b>", "NaN", "-"]),
            st.dates() | st.none(),
        ),
        max_size=12,
    )
)
def test_any_cells_are_analysed_or_refused_in_a_sentence(desk: tabling.Desk, rows: list[tuple[object, ...]]) -> None:
    desk.clear()
    lines = ["n,t,d", *(",".join("" if cell is None else json.dumps(str(cell)) for cell in row) for row in rows)]
    outcome = analyze_or_sentence(desk, "\n".join(lines))
    assert outcome.endswith(".") if isinstance(outcome, str) else json.dumps(outcome, allow_nan=False)


def analyze_or_sentence(desk: tabling.Desk, content: str) -> dict[str, Any] | str:
    path = desk.folder / "fuzz.csv"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    try:
        return analyze_table(desk.context(path))
    except ToolError as error:
        return str(error)
