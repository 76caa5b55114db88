"""Indexing in a real tool host: from files of many kinds to passages that can be searched and cited."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.toolkit.recording import RecordingHandler
from tests.tools import making
from tests.tools.keeping import records_of
from toolkit.errors import ToolError
from toolkit.handler import CallContext
from toolkit.pool import HostPool
from tools.search.recorded import RecordedIndex

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[HostPool]:
    async with HostPool([ROOT / "tools"], spare_hosts=0) as pool:
        yield pool


class Conversation:
    """A folder of files and a storage; calls see all of the files."""

    def __init__(self, pool: HostPool, files: Path, storage: Path) -> None:
        self.pool = pool
        self.files = files
        self.storage = storage
        self.records: dict[str, Any] = {}
        self.handler = self.fresh(files)

    def fresh(self, files: Path) -> RecordingHandler:
        return RecordingHandler(files, self.records)

    def index_here(self) -> RecordedIndex:
        return RecordedIndex(records_of(self.records), self.storage)

    async def index(self, documents: list[str] | None = None, *, stopped: bool = False) -> dict[str, Any]:
        known = tuple(sorted(path.name for path in self.files.iterdir() if path.is_file()))
        context = CallContext(
            thread_id="thread_1",
            user="ada",
            idempotency_key="job_1/call:0",
            files=known,
            storage=str(self.storage),
            partial=stopped,
        )
        arguments = {} if documents is None else {"documents": documents}
        result = await self.pool.call("index_documents", arguments, context, self.handler)
        assert stopped or isinstance(result, dict)
        return result or {}

    def found(self, query: str) -> list[tuple[str, str]]:
        return [(hit.source.name, hit.place) for hit in self.index_here().search(query, 20)]


@pytest.fixture
def talk(pool: HostPool, tmp_path: Path) -> Conversation:
    (tmp_path / "files").mkdir()
    return Conversation(pool, tmp_path / "files", tmp_path / "storage")


async def test_it_is_offered_with_what_it_takes(pool: HostPool) -> None:
    spec = next(spec for spec in pool.catalogue if spec.name == "index_documents")
    assert spec.run_in == "thread"
    assert set(spec.parameters["properties"]) == {"documents"}
    assert not spec.parameters.get("required")


async def test_every_kind_of_document_is_found_by_its_place(talk: Conversation) -> None:
    making.pdf(talk.files / "a.pdf", ["The first page.", "The second page tells of acetylene."])
    making.word(talk.files / "b.docx", [("Heading 1", "Oil"), ("Normal", "Colza is pressed.")])
    (talk.files / "c.html").write_text("<h1>Wicks</h1><p>Cotton is plaited.</p>")
    (talk.files / "d.md").write_text("# Fog\n\nThe siren is sounded.\n")
    (talk.files / "e.txt").write_text("Nothing here.\n\nThe mirror is polished.\n")
    result = await talk.index()
    assert talk.found("acetylene") == [("a.pdf", "page 2")]
    assert talk.found("colza") == [("b.docx", "§ Oil")]
    assert talk.found("plaited") == [("c.html", "§ Wicks")]
    assert talk.found("siren") == [("d.md", "§ Fog")]
    assert talk.found("mirror") == [("e.txt", "lines 1–3")]
    assert [document["kind"] for document in result["documents"]] == ["PDF", "Word", "HTML", "Markdown", "text"]
    assert (result["pages"], result["passages"], result["documents_in_index"]) == (2, 6, 5)
    assert result["summary"] == (
        "Indexed a.pdf, b.docx, c.html, d.md, e.txt: 2 pages, 6 passages. Ask about them, or use search_documents."
    )


async def test_a_stopped_call_lists_the_documents_that_it_has_indexed(talk: Conversation) -> None:
    for name in ("a.md", "b.md", "c.md"):
        (talk.files / name).write_text(f"The lamp of {name}.\n")
    await talk.index(["a.md", "b.md"])
    whole = talk.handler.artifacts.pop("index-report.csv")
    await talk.index(["a.md", "b.md", "c.md"], stopped=True)
    assert talk.handler.artifacts["index-report.csv"] == whole
    assert whole[1].decode().splitlines()[1:] == ["a.md,Markdown,,1,", "b.md,Markdown,,1,"]
    assert talk.handler.logs[-1] == ("info", "2 documents can be searched, listed in index-report.csv")


async def test_the_sample_handbook_is_found_page_by_page(talk: Conversation) -> None:
    talk.files = SAMPLES
    talk.handler = talk.fresh(SAMPLES)
    result = await talk.index(["signals-handbook.pdf"])
    assert result["pages"] == 57
    assert all(place.startswith("page ") for _, place in talk.found("signal lamp"))
    messages = [message for _, _, message in talk.handler.progresses]
    assert any(message.startswith("Reading signals-handbook.pdf: page ") for message in messages)
    assert talk.handler.progresses[-1] == (1, 1, "Indexed")


async def test_indexing_again_changes_nothing_and_reads_nothing(talk: Conversation) -> None:
    making.pdf(talk.files / "a.pdf", [f"Page {n} about lamps." for n in range(20)])
    first = await talk.index()
    [file] = talk.storage.iterdir()
    before = file.read_bytes()
    talk.handler = talk.fresh(talk.files)
    assert await talk.index() == first
    assert file.read_bytes() == before


async def test_another_file_of_the_same_name_is_another_document(talk: Conversation, tmp_path: Path) -> None:
    (talk.files / "report.md").write_text("The old lamp.\n")
    await talk.index()
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.md").write_text("The new lamp.\n")
    talk.files, talk.handler = other, talk.fresh(other)
    result = await talk.index()
    assert [document["name"] for document in result["documents"]] == ["report.md (2)"]
    assert sorted(talk.found("lamp")) == [("report.md", "line 1"), ("report.md (2)", "line 1")]


async def test_the_same_content_twice_is_indexed_once(talk: Conversation) -> None:
    for name in ("a.txt", "copy.txt"):
        (talk.files / name).write_text("The lamp.\n")
    result = await talk.index()
    assert talk.found("lamp") == [("a.txt", "line 1")]
    assert result["skipped"] == ["'copy.txt' has the same content as 'a.txt'."]


async def test_a_bad_document_does_not_lose_the_others(talk: Conversation) -> None:
    making.scan(talk.files / "scan.pdf", 3)
    (talk.files / "empty.txt").touch()
    (talk.files / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    (talk.files / "good.md").write_text("The lamp.\n")
    result = await talk.index()
    assert [document["name"] for document in result["documents"]] == ["good.md"]
    assert [problem.partition("' ")[0] for problem in result["skipped"]] == ["'empty.txt", "'photo.png", "'scan.pdf"]
    assert "none could be recognised" in result["summary"]
    assert talk.handler.said("'empty.txt' is empty.")
    assert talk.found("lamp") == [("good.md", "line 1")]


async def test_remarks_are_kept_with_the_document(talk: Conversation) -> None:
    making.pdf(talk.files / "a.pdf", ["The lamp was lit at dusk by the keeper.", "", "It went out at dawn again."])
    remark = "a.pdf: no text on page 2."
    assert (await talk.index())["remarks"] == [remark]
    talk.handler = talk.fresh(talk.files)
    assert (await talk.index())["remarks"] == [remark]
    assert talk.handler.logs == [("warning", remark)]


async def test_only_bad_documents_are_an_error_with_every_reason(talk: Conversation) -> None:
    (talk.files / "empty.txt").touch()
    with pytest.raises(ToolError, match=r"^'empty.txt' is empty\.$"):
        await talk.index()
    (talk.files / "none.txt").touch()
    talk.handler = talk.fresh(talk.files)
    with pytest.raises(
        ToolError, match=r"^No document could be indexed\. 'empty.txt' is empty\. 'none.txt' has the same"
    ):
        await talk.index()


async def test_without_a_document_it_says_what_to_do(talk: Conversation) -> None:
    with pytest.raises(ToolError, match=r"There is no document to index. Attach one first: PDF, Word"):
        await talk.index()


async def test_too_many_documents_are_refused(talk: Conversation) -> None:
    for n in range(101):
        (talk.files / f"{n}.txt").write_text("Words.")
    with pytest.raises(ToolError, match=r"101 documents are too many for one call; send at most 100"):
        await talk.index()


async def test_a_resumed_call_reads_only_what_is_missing(talk: Conversation) -> None:
    for n in range(4):
        (talk.files / f"{n}.txt").write_text(f"Lamp {n}.\n")
    whole = await talk.index()
    steps = list(talk.handler.finished)
    assert [step.partition(" (")[0] for step in steps] == [f"step:index {n}.txt" for n in range(4)]
    finished = {step: talk.handler.finished[step] for step in steps[:2]}
    talk.handler = talk.fresh(talk.files)
    talk.handler.finished = finished
    assert await talk.index() == whole
    assert talk.handler.begun == steps[2:]


async def test_a_cancelled_call_stops_reading_and_leaves_no_half_document(talk: Conversation) -> None:
    making.pdf(talk.files / "long.pdf", [f"Page {n} about lamps and ships. " * 40 for n in range(400)])
    call = asyncio.create_task(talk.index())
    while not any("page" in message for _, _, message in talk.handler.progresses):
        assert not call.done()
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 5)
    assert talk.found("lamps") == []
