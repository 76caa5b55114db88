"""Answers without a model: what they find, and that they only quote and count."""

from __future__ import annotations

import re
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from language.aggregates import Column, sql_for
from language.aggregates import Table as Described
from language.sentences import flat
from language.terms import Terms, language_of
from models.extract import follow_instruction
from models.routing import Call, Request, route
from tests.answers.questions import SETS, Asked, path_of, plain, questions, score
from toolkit.registry import load_tools
from tools.documents import Document, Passage, Place, Reading, cut, read_document
from tools.quoting import changes_between, quotes_for
from tools.tables import Database, table_names
from tools.tables.asking import described

ROOT = Path(__file__).resolve().parent.parent.parent
WHOLE = "Write the summary. Begin with a paragraph. Then give the key points as at most fifteen Markdown bullet points."
PART = "Summarise this part as at most eight Markdown bullet points of one sentence."
LINE = Place(kind="line", number=1)
LEAST = {"questions": 0.85, "later": 0.85, "unseen": 0.75}
"""The share of the facts that is found; docs/offline.md tells the figures of a run."""


@cache
def tools() -> tuple[dict[str, object], ...]:
    specs = [tool.spec for tool in load_tools([ROOT / "tools"]).tools.values()]
    return tuple({"name": one.name, "description": one.description, "parameters": one.parameters} for one in specs)


@cache
def document(file: str) -> Document:
    return read_document(Reading(path=path_of(file), name=file))


def call_for(asked: Asked) -> Call | None:
    files = [{"id": file, "name": file, "mime": "text/plain"} for file in asked.files]
    return route(Request(words=asked.ask, attached=files, known=files, tools=tools()))


def answer(asked: Asked) -> str:
    """What the tool that the question leads to finds, without the processes in which it would run."""
    call = call_for(asked)
    match call.tool if call else None:
        case "quote_documents":
            quotes = quotes_for(asked.ask, [*map(document, asked.files)], limit=5)
            return "\n".join(sentence for quote in quotes for sentence in quote.sentences)
        case "compare_documents":
            changes = changes_between(*map(document, asked.files))
            pairs = [said.text for pair in changes.changed for said in pair]
            return "\n".join([*pairs, *(said.text for said in (*changes.only_first, *changes.only_second))])
        case "summarize_documents":
            return summarised([*map(document, asked.files)])
        case "query_table":
            return counted(asked)
        case "simulate_portfolio":
            assert call is not None
            return str(dict(call.arguments))
        case _:
            return ""


def summarised(documents: list[Document]) -> str:
    chunks = cut(documents, named=len(documents) > 1)
    if len(chunks) == 1:
        return follow_instruction(WHOLE, chunks[0].material)
    return follow_instruction(WHOLE, "\n".join(follow_instruction(PART, chunk.material) for chunk in chunks))


def counted(asked: Asked) -> str:
    with TemporaryDirectory() as folder, Database(Path(folder)) as database:
        [name] = table_names(asked.files)
        table = database.load(path_of(asked.files[0]), asked.files[0], name)
        sql = sql_for(asked.ask, [Described.of(described(table, database))], Terms(language_of(asked.ask)))
        return "" if sql is None else " ".join(str(cell) for row in database.read(sql) for cell in row)


@pytest.mark.parametrize("name", SETS)
def test_most_facts_are_found_in_answers_without_a_model(name: str) -> None:
    answers = [(asked, answer(asked)) for asked in questions(name)]
    found, facts, _, _ = score(answers)
    missed = [f"{asked.ask}: {missing}" for asked, text in answers if (missing := asked.missing(text))]
    assert found / facts >= LEAST[name], "\n".join(missed)


@pytest.mark.parametrize("name", SETS)
def test_every_sentence_of_an_answer_stands_in_the_document(name: str) -> None:
    about_text = [asked for asked in questions(name) if asked.files and not asked.files[0].endswith(".csv")]
    for asked in about_text:
        raw = signs("".join(map(raw_text, asked.files)))
        for line in filter(None, map(quoted, answer(asked).splitlines())):
            assert signs(line).rstrip(".") in raw or are_cells(line, raw), (asked.ask, line)


def raw_text(file: str) -> str:
    if file.endswith((".md", ".txt")):
        return path_of(file).read_text()
    return "".join(f"{passage.place.title}{passage.text}" for passage in document(file).passages)


def are_cells(line: str, raw: str) -> bool:
    """Rows of tables are told with the names of their columns."""
    pairs = [cell.partition(": ") for cell in line.split(" · ")]
    return len(pairs) > 1 and all(signs(name) in raw and signs(cell) in raw for name, _, cell in pairs)


def quoted(line: str) -> str:
    return re.sub(r"\s*\[[^\]]*\]", "", flat(line).removeprefix("- "))


def signs(text: str) -> str:
    """Returns what was written, without markup, quoting marks of mails, case and white space."""
    return re.sub(r"[\s*#|>_`]+", "", plain(text))


def test_a_summary_has_no_table_of_contents_no_apologies_and_nothing_twice() -> None:
    text = (
        "Contents ........................ 2\n1 Budget ........................ 3\n\n"
        "Apologies were received from Mr Grey and from Mrs Green, who is ill.\n\n"
        "The council agreed to repair the bridge at a cost of 18,400 pounds.\n\n"
        "The council agreed to repair the bridge at a cost of 18,400 pounds.\n\n"
        "The library is open on Saturdays until four in the afternoon from April.\n\n"
        "The budget of the town for the coming year is 684,000 pounds in all.\n\n"
        "The market charge stays as it is until the toilets have been mended.\n"
    )
    said = follow_instruction("Summarise as at most three Markdown bullet points.", text)
    assert said.count("18,400") == 1
    assert "...." not in said
    assert "Apologies" not in said


@pytest.mark.parametrize(
    "piece", ["1", "1,", "stimmt ", "will ", "- ", "-", ". ", "mon ", "? ", "> ", "| a ", "because "]
)
def test_a_hostile_text_takes_no_longer_than_another_one(piece: str) -> None:
    text = "| a |\n" + piece * (200_000 // len(piece)) + "x\nThe end is here."
    began = time.process_time()
    read = Document(name="a", kind="text", passages=(Passage(place=LINE, text=text),), places=(LINE,))
    quotes_for("Who decided what, when, why and how much does it cost?", [read], limit=5)
    follow_instruction("Summarise as at most five bullet points.", text)
    assert time.process_time() - began < 30  # patterns that backtrack would take hours


def test_a_repetitive_text_in_chinese_is_told_once() -> None:
    said = follow_instruction(
        "Summarise as at most five bullet points.", "会议决定延长开放时间到晚上九点。" * 20 + "预算增加三万六千元。"
    )
    assert said.count("会议决定") == 1
    assert "三万六千元" in said


@pytest.mark.parametrize(
    ("words", "files", "tool"),
    [
        ("Who was on duty?", ["report.md"], "quote_documents"),
        ("Who was on duty?", ["report"], "quote_documents"),
        ("Fasse den Bericht zusammen", ["bericht.txt"], "summarize_documents"),
        ("", ["report.md"], "summarize_documents"),
        ("List all decisions", ["minutes.md"], "quote_documents"),
        ("What changed?", ["old.md", "new.md"], "compare_documents"),
        ("Which shop had the highest turnover?", ["orders.csv"], "query_table"),
        ("Analyse the orders", ["orders.csv"], "analyze_table"),
        ("", ["orders.csv"], "analyze_table"),
        ("Simulate saving 300 a month over 20 years", [], "simulate_portfolio"),
        ("simulate_portfolio years=20", [], "simulate_portfolio"),
        ("What can you do?", ["report.md"], None),
        ("Where does the report mention statistics?", ["report.md", "orders.csv"], "quote_documents"),
        ("How many rows has the table?", ["report.md", "orders.csv"], "query_table"),
        ("Hello!", [], None),
        ("Simulate a loan of 150,000 at 3.5 percent", [], None),
    ],
)
def test_words_and_files_lead_to_a_tool(words: str, files: list[str], tool: str | None) -> None:
    call = call_for(Asked(ask=words, files=tuple(files), facts=()))
    assert (call.tool if call else None) == tool


def test_a_later_question_is_about_the_files_of_the_conversation() -> None:
    known = [{"id": "f1", "name": "report.md", "mime": "text/markdown"}]
    call = route(Request(words="And who wrote it?", known=known, tools=tools()))
    assert call == Call(tool="quote_documents", arguments={"question": "And who wrote it?", "documents": ["f1"]})


@pytest.mark.parametrize(
    "question", ["How many complained?", "What is the average temperature?", "Who is the best?", "?"]
)
def test_a_question_that_names_nothing_of_the_table_is_not_answered(question: str) -> None:
    table = Described(name="orders", columns=[Column(name="order", type="text"), Column(name="day", type="date")])
    assert sql_for(question, [table], Terms("en")) is None


ORDERS = Described(
    name="orders",
    columns=[
        Column(name="order", type="number", key=True),
        Column(name="day", type="date"),
        Column(name="city", type="text", values=("Berlin", "Hamburg")),
        Column(name="quantity", type="number"),
        Column(name="revenue", type="number"),
        Column(name="returned", type="yes/no"),
    ],
)


@pytest.mark.parametrize(
    "question",
    [
        "How many orders are not from Berlin?",
        "How many orders without Berlin?",
        "Total revenue except Berlin",
        "Revenue since March",
        "Revenue from March to May",
        "Revenue in 2023 and 2024",
        "How many orders over 100?",
        "Average of quantity and revenue",
        "Minimum and maximum revenue",
        "Top 3 cities by revenue",
        "What percentage of orders is from Berlin?",
        "What is the difference between Berlin and Hamburg?",
        "Wie viele Bestellungen kommen nicht aus Berlin?",
        "Umsatz seit März",
        "How many orders aren't from Berlin?",
        "Revenue of everything but Berlin",
        "What is the average number of orders per city?",
        "How many orders were returned?",
        "How many orders from UK?",
    ],
)
def test_what_one_figure_cannot_express_is_not_answered(question: str) -> None:
    assert sql_for(question, [ORDERS], Terms(language_of(question))) is None


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        ("How many orders are there?", 'SELECT count(*) AS "rows" FROM "orders"'),
        ("How many orders in may?", 'SELECT count(*) AS "rows" FROM "orders" WHERE month("day") = 5'),
        ("Revenue in March 2024", 'SELECT round(sum("revenue"), 2) AS "sum of revenue" FROM "orders" WHERE '
         'month("day") = 3 AND year("day") = 2024'),
        ("Revenue of blue orders in Berlin", 'SELECT round(sum("revenue"), 2) AS "sum of revenue" FROM "orders" '
         "WHERE \"city\" = 'Berlin' -- not understood: blue"),
    ],
)  # fmt: skip
def test_a_question_becomes_a_statement_that_tells_what_it_leaves_aside(question: str, sql: str) -> None:
    assert sql_for(question, [ORDERS], Terms("en")) == sql
