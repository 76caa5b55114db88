"""What every index store must do, whatever is behind it."""

import json
import multiprocessing
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.tools.keeping import records_in
from tools.search import MARK_END, MARK_START, Hit, IndexStore, IndexUnusable, Passage, Source
from tools.search.recorded import RecordedIndex
from tools.search.sqlite import SqliteIndex


def sqlite_index(folder: Path) -> SqliteIndex:
    return SqliteIndex(folder / "index.db")


def recorded_index(folder: Path) -> RecordedIndex:
    return RecordedIndex(records_in(folder), folder)


STORES: dict[str, Callable[[Path], IndexStore]] = {"sqlite": sqlite_index, "recorded": recorded_index}
PROCESSES = multiprocessing.get_context("spawn")


@pytest.fixture(params=list(STORES))
def opened(request: pytest.FixtureRequest) -> Callable[[Path], IndexStore]:
    return STORES[request.param]


@pytest.fixture
def index(opened: Callable[[Path], IndexStore], tmp_path: Path) -> IndexStore:
    return opened(tmp_path)


def put(index: IndexStore, key: str, *texts: str, name: str = "", title: str = "") -> Source:
    passages = [Passage(place=f"page {number}", text=text) for number, text in enumerate(texts, 1)]
    return index.replace(
        Source(key=key, name=name or f"{key}.pdf", kind="PDF", pages=len(texts), title=title), passages
    )


def found(index: IndexStore, query: str, limit: int = 10) -> list[str]:
    return [hit.text for hit in index.search(query, limit)]


def first(index: IndexStore, query: str) -> Hit:
    return index.search(query, 1)[0]


def test_a_passage_is_found_with_its_source_and_place(index: IndexStore) -> None:
    put(index, "a", "The harbour was empty.", "The keeper lit the lamp at dusk.")
    hit = first(index, "lamp")
    assert (hit.source.name, hit.place, hit.text) == ("a.pdf", "page 2", "The keeper lit the lamp at dusk.")
    assert (hit.source.pages, hit.source.passages, hit.source.kind) == (2, 2, "PDF")
    assert hit.score > 0


def test_an_index_that_holds_nothing_finds_nothing_and_creates_nothing(index: IndexStore, tmp_path: Path) -> None:
    assert index.search("lamp", 5) == []
    assert index.sources() == []
    assert index.source("a") is None
    assert index.remove("a") is False
    assert list(tmp_path.iterdir()) == []


def test_any_of_the_words_is_enough_and_more_of_them_rank_higher(index: IndexStore) -> None:
    put(index, "a", "The keeper slept.", "The keeper lit the lamp.", "The lamp and the keeper of the lamp.", "Nothing.")
    assert found(index, "lamp keeper") == [
        "The lamp and the keeper of the lamp.",
        "The keeper lit the lamp.",
        "The keeper slept.",
    ]


def test_scores_fall(index: IndexStore) -> None:
    put(index, "a", *(f"Lamp {'lamp ' * n} and other words without a light" for n in range(8)))
    scores = [hit.score for hit in index.search("lamp", 8)]
    assert len(scores) == 8
    assert scores == sorted(scores, reverse=True)


def test_the_limit_is_kept(index: IndexStore) -> None:
    put(index, "a", *(f"Lamp {n}" for n in range(20)))
    assert len(found(index, "lamp", 3)) == 3


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Der Wächter zündete die Lampe an.", "wachter"),
        ("The cafe\u0301 was closed.", "café"),
        ("The CAFÉ was closed.", "cafe"),
        ("Ships were signalling.", "signals"),
        ("他在黄昏时点亮了灯塔。", "灯塔"),
        ("他在黄昏时点亮了灯塔。", "黄昏的灯塔在哪里"),
        ("灯台は夕暮れに点灯された。", "夕暮れ"),
        ("등대지기가 등불을 켰다.", "등대지기"),
        ("ประภาคารสว่างในตอนค่ำ", "ประภาคาร"),
        ("दीपस्तंभ जल उठा।", "दीपस्तंभ"),
        ("Write to ada@example.org about 3.14.", "ada@example.org"),
        ("Write to ada@example.org about 3.14.", "3.14"),
        ("The state-of-the-art lamp", "state-of-the-art"),
        ("call read_document(path) first", "read_document"),
        ("Маяк зажёгся в сумерках.", "маяк"),
    ],
)
def test_words_of_many_kinds_are_found(index: IndexStore, text: str, query: str) -> None:
    put(index, "a", text, "Something else entirely.", "Etwas anderes.")
    assert [hit.place for hit in index.search(query, 5)] == ["page 1"]


def test_a_phrase_in_quotation_marks_must_occur(index: IndexStore) -> None:
    put(index, "a", "The red lamp burns.", "The lamp is red.", "A red ship.")
    assert found(index, '"red lamp"') == ["The red lamp burns."]
    assert found(index, "“red lamp” ship") == ["The red lamp burns."]
    assert found(index, '"red" "ship"') == ["A red ship."]


def test_other_words_rank_what_holds_the_phrase(index: IndexStore) -> None:
    put(index, "a", "The red lamp burns all night long.", "The red lamp is seen by the distant ship at night.")
    assert found(index, '"red lamp" ship')[0].endswith("ship at night.")
    assert len(found(index, '"red lamp" ship')) == 2


def test_words_that_are_everywhere_find_nothing_beside_telling_ones(index: IndexStore) -> None:
    put(index, "a", "The ship is at the quay and that is all.")
    assert found(index, "What does it say about the tulips?") == []
    assert found(index, "to be or not to be is") != []  # there is nothing else to go by


@pytest.mark.parametrize(
    "query",
    [
        '"', '""', '"lamp', "lamp AND", "NEAR(lamp ship, 2)", "lamp*", "*", "^lamp", "text:lamp", "-lamp", "lamp OR",
        "(((", ")", "NOT", "{a b}: lamp", "'; DROP TABLE passages; --", "lamp\0ship", "\ud800 lamp", "🗼", "🗼 lamp",
        "...", "", "   ", "___", "_", "\u0301", "lamp " * 2_000, "x" * 10_000, '"' * 10_000, "灯" * 10_000, "a\nb\tc",
        '"🗼"', '"" lamp', "%", "lamp + ship", '"lamp" AND "', "\x02lamp\x03",
    ],
)  # fmt: skip
def test_no_query_is_an_error(index: IndexStore, query: str) -> None:
    put(index, "a", "The lamp.", "The ship.")
    texts = found(index, query)
    assert set(texts) <= {"The lamp.", "The ship."}
    if "lamp" in re.findall("[a-z]+", query):
        assert "The lamp." in texts


def test_operators_are_words(index: IndexStore) -> None:
    put(index, "a", "lamp", "ship")
    assert sorted(found(index, "lamp AND ship")) == ["lamp", "ship"]
    assert found(index, "lamp NOT ship") != []


def test_what_was_found_is_marked_in_the_snippet(index: IndexStore) -> None:
    put(
        index,
        "a",
        "Long before. " * 40 + "Then the keeper lit the\nlamp. " + "Long after. " * 20,
        "他在黄昏时点亮了灯塔。",
    )
    snippet = first(index, "lamps").snippet
    assert f"the {MARK_START}lamp{MARK_END}." in snippet
    assert len(snippet) < 250
    assert first(index, "灯塔").snippet.replace(MARK_START, "").replace(MARK_END, "") == "他在黄昏时点亮了灯塔。"


def test_a_title_counts(index: IndexStore) -> None:
    put(index, "a", "Some words about the weather.", name="https://example.org/1", title="Lighthouses of the north")
    put(index, "b", "Some words about the weather.", name="https://example.org/2")
    assert [hit.source.key for hit in index.search("lighthouses", 5)] == ["a"]


def test_a_source_is_replaced_whole(index: IndexStore) -> None:
    put(index, "a", "The old lamp.", "The old ship.")
    put(index, "b", "The other lamp.")
    stored = put(index, "a", "The new lamp.")
    assert (stored.name, stored.passages) == ("a.pdf", 1)
    assert sorted(found(index, "lamp ship old new")) == ["The new lamp.", "The other lamp."]
    assert [source.key for source in index.sources()] == ["a", "b"]
    assert sum(source.passages for source in index.sources()) == 2


def test_putting_the_same_in_twice_changes_nothing(index: IndexStore) -> None:
    put(index, "a", "The lamp.", "The ship.")
    before = index.search("lamp", 5)
    put(index, "a", "The lamp.", "The ship.")
    assert index.search("lamp", 5) == before
    assert len(index.sources()) == 1


def test_a_removed_source_is_found_no_more(index: IndexStore) -> None:
    put(index, "a", "The lamp.")
    put(index, "b", "A lamp.")
    assert index.remove("a") is True
    assert found(index, "lamp") == ["A lamp."]
    assert index.source("a") is None


def test_two_sources_of_one_name_are_told_apart(index: IndexStore) -> None:
    assert put(index, "a", "The lamp.", name="Report.pdf").name == "Report.pdf"
    assert put(index, "b", "The lamp.", name="report.pdf").name == "report.pdf (2)"
    assert put(index, "b", "The lamp again.", name="report.pdf").name == "report.pdf (2)"
    assert put(index, "a", "The lamp again.", name="Report.pdf").name == "Report.pdf"


def test_a_source_keeps_what_is_said_of_it(index: IndexStore) -> None:
    source = Source(key="k", name="a.pdf", title="Title", kind="PDF", pages=3, remarks=("no text on page 2",))
    stored = index.replace(source, [Passage(place="page 1", text="Words.")])
    assert index.source("k") == stored
    assert (stored.title, stored.kind, stored.pages, stored.remarks) == ("Title", "PDF", 3, ("no text on page 2",))


def test_a_passage_that_is_too_long_is_cut(index: IndexStore) -> None:
    put(index, "a", "lamp " * 1_000)
    assert len(first(index, "lamp").text) <= 1_200


def test_passages_that_break_off_leave_the_source_as_it_was(index: IndexStore) -> None:
    put(index, "a", "The old lamp.")

    def passages() -> Iterator[Passage]:
        yield Passage(place="", text="The new lamp.")
        raise InterruptedError

    with pytest.raises(InterruptedError):
        index.replace(Source(key="a", name="a.pdf"), passages())
    assert found(index, "lamp") == ["The old lamp."]


def test_many_threads_write_and_search_at_once(index: IndexStore) -> None:
    def work(number: int) -> None:
        for turn in range(4):
            put(index, f"source {number}", *(f"lamp {turn} of source {number}" for _ in range(20)))
            assert len(index.search("lamp", 12)) == 12

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert [source.passages for source in index.sources()] == [20] * 8
    assert len(index.search("lamp", 1_000)) == 160


def test_two_processes_may_begin_the_same_index_at_once(opened: Callable[[Path], IndexStore], tmp_path: Path) -> None:
    store = next(name for name, known in STORES.items() if known is opened)
    writers = [PROCESSES.Process(target=_write, args=(store, tmp_path, f"writer {n}", 5)) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    assert sorted(source.key for source in opened(tmp_path).sources()) == ["writer 0", "writer 1"]


def test_a_writer_killed_in_the_middle_leaves_each_source_whole(
    opened: Callable[[Path], IndexStore], tmp_path: Path
) -> None:
    store = next(name for name, known in STORES.items() if known is opened)
    index = opened(tmp_path)
    put(index, "kept", "The kept lamp.")
    writer = PROCESSES.Process(target=_write, args=(store, tmp_path, "big", 1_000))
    writer.start()
    seen = 0
    while seen < 3:  # it has replaced its source a few times and is at it again
        source = index.source("big")
        seen = max(seen, int(source.title) if source else 0)
        assert writer.is_alive()
    assert writer.pid
    os.kill(writer.pid, signal.SIGKILL)
    writer.join(10)
    big = index.source("big")
    assert big is not None
    assert big.passages == len([hit for hit in index.search("lamp", 5_000) if hit.source.key == "big"]) == 400
    assert {hit.text.split()[-1] for hit in index.search("lamp", 5_000) if hit.source.key == "big"} == {big.title}
    put(index, "after", "The lamp thereafter.")
    assert "The lamp thereafter." in found(index, "thereafter")


def _write(store: str, folder: Path, key: str, times: int) -> None:
    index = STORES[store](folder)
    for turn in range(1, times + 1):
        source = Source(key=key, name=key, title=str(turn))
        index.replace(source, [Passage(place="", text=f"lamp {number} in turn {turn}") for number in range(400)])


class TestSqlite:
    def test_a_file_that_is_no_index_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "index.db").write_bytes(b"no database at all" * 100)
        index = sqlite_index(tmp_path)
        for use in (index.sources, lambda: index.search("lamp", 1), lambda: put(index, "a", "lamp")):
            with pytest.raises(IndexUnusable, match=r"The index of this conversation is damaged. Start a new"):
                use()

    def test_a_file_that_was_only_begun_is_an_empty_index(self, tmp_path: Path) -> None:
        sqlite3.connect(tmp_path / "index.db").close()
        (tmp_path / "index.db").touch()
        index = sqlite_index(tmp_path)
        assert index.search("lamp", 1) == []
        put(index, "a", "lamp")
        assert found(index, "lamp") == ["lamp"]

    def test_a_reader_sees_the_state_before_while_a_writer_is_at_work(self, tmp_path: Path) -> None:
        index = sqlite_index(tmp_path)
        put(index, "a", "The old lamp.")
        writer = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM sources")
        try:
            assert found(index, "lamp") == ["The old lamp."]
        finally:
            writer.execute("ROLLBACK")
            writer.close()


class TestRecorded:
    def test_two_calls_that_replace_a_source_at_once_leave_it_readable(self, tmp_path: Path) -> None:
        records = records_in(tmp_path)
        first, second = RecordedIndex(records, tmp_path), RecordedIndex(records, tmp_path)
        put(first, "a", "The lamp.")
        get = records.get

        def get_and_be_overtaken(key: str) -> object:
            found = get(key)
            if key.count("/") == 1:
                records.get = get  # type: ignore[method-assign]
                put(second, "a", "The ship.")
                put(second, "a", "The lamp.")
            return found

        records.get = get_and_be_overtaken  # type: ignore[method-assign]
        put(first, "a", "The lamp.")
        assert found(first, "lamp") == ["The lamp."]
        put(first, "a", "The harbour.")
        assert found(second, "harbour") == ["The harbour."]

    def test_what_a_killed_call_has_left_is_deleted_later(self, tmp_path: Path) -> None:
        records = records_in(tmp_path)
        index = RecordedIndex(records, tmp_path)
        put(index, "a", "The lamp.")
        [record] = [key for key in records.versions() if key.count("/") == 1]
        records.put(f"{record}/1-killed/0", [])
        records.put(f"{record}/{int(time.time())}-running/0", [])
        put(index, "a", "The ship.")
        left = [key for key in records.versions() if key.endswith(("killed/0", "running/0"))]
        assert [key.rpartition("-")[2] for key in left] == ["running/0"]

    def test_a_call_whose_clock_runs_ahead_leaves_what_another_writes_readable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        records = records_in(tmp_path)
        index, ahead = RecordedIndex(records, tmp_path), RecordedIndex(records, tmp_path)
        put_record = records.put

        def put_and_be_tidied_away(key: str, value: object) -> str:
            version = put_record(key, value)
            if key.count("/") > 1:
                records.put = put_record  # type: ignore[method-assign]
                with monkeypatch.context() as patch:
                    patch.setattr(time, "time", lambda: 1e10)
                    put(ahead, "a", "The ship.")
            return version

        records.put = put_and_be_tidied_away  # type: ignore[method-assign]
        put(index, "a", "The lamp.")
        there = other_machine(tmp_path, monkeypatch)
        assert found(there, "lamp") == ["The lamp."]

    def test_indexes_of_machines_that_are_gone_are_deleted_with_time(self, tmp_path: Path) -> None:
        old, new = tmp_path / "index-00000000.db", tmp_path / "index-11111111.db"
        for file in (old, new):
            file.touch()
        os.utime(old, (1, 1))
        put(recorded_index(tmp_path), "a", "The lamp.")
        assert (old.exists(), new.exists()) == (False, True)

    def test_a_damaged_file_of_an_earlier_version_is_left_behind(self, tmp_path: Path) -> None:
        (tmp_path / "index.db").write_bytes(b"no database at all" * 100)
        index = recorded_index(tmp_path)
        put(index, "a", "The lamp.")
        assert found(index, "lamp") == ["The lamp."]

    def test_another_machine_finds_what_was_indexed_here_with_the_same_ranks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = recorded_index(tmp_path)
        put(here, "a", "The keeper lit the lamp.", "The lamp, the lamp.")
        put(here, "b", "The ships pass the lamp.")
        there = other_machine(tmp_path, monkeypatch)
        assert there.sources() == here.sources()
        assert there.search("lamp keeper", 10) == here.search("lamp keeper", 10)
        put(there, "a", "The harbour was empty.")
        there.remove("b")
        assert found(here, "lamp") == []
        assert found(here, "harbour") == ["The harbour was empty."]
        assert [source.key for source in here.sources()] == ["a"]

    @pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"no database at all" * 100)])
    def test_a_lost_or_damaged_file_is_made_again(self, tmp_path: Path, harm: Callable[[Path], object]) -> None:
        index = recorded_index(tmp_path)
        put(index, "a", "The lamp.")
        [file] = tmp_path.glob("index-*.db")
        harm(file)
        assert found(index, "lamp") == ["The lamp."]

    def test_the_file_of_an_earlier_version_is_taken_over(self, tmp_path: Path) -> None:
        earlier = sqlite_index(tmp_path)
        put(earlier, "a", "The old lamp.", title="Lamps")
        before = earlier.sources()
        index = recorded_index(tmp_path)
        assert index.sources() == before
        assert found(index, "lamp") == ["The old lamp."]
        assert not (tmp_path / "index.db").exists()

    def test_a_large_source_is_several_records_and_leaves_none_behind(self, tmp_path: Path) -> None:
        records = records_in(tmp_path)
        index = RecordedIndex(records, tmp_path)
        put(index, "a", *(f"{n} " + "灯" * 1_100 for n in range(500)))
        assert len(records.versions("index/")) == 4
        assert all(
            len(json.dumps(records.get(key), ensure_ascii=False).encode()) < 1_000_000 for key in records.versions()
        )
        put(index, "a", "The lamp.")
        assert len(records.versions("index/")) == 2
        index.remove("a")
        assert records.versions() == {}


def other_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedIndex:
    with monkeypatch.context() as patch:
        patch.setattr("os.uname", lambda: SimpleNamespace(nodename="another-machine"))
        return recorded_index(folder)
