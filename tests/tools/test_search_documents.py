"""Searching in a real tool host: passages with source and place for the model, a list with snippets for people."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.toolkit.recording import RecordingHandler
from tests.tools.keeping import records_in
from toolkit.errors import ToolArgumentsInvalid, ToolError
from toolkit.handler import CallContext
from toolkit.pool import HostPool
from tools.search import IndexStore, Passage, Source
from tools.search.recorded import RecordedIndex

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[HostPool]:
    async with HostPool([ROOT / "tools"], spare_hosts=0) as pool:
        yield pool


@pytest.fixture
def index(tmp_path: Path) -> IndexStore:
    return RecordedIndex(records_in(tmp_path), tmp_path)


def put(index: IndexStore, name: str, *passages: tuple[str, str], title: str = "") -> None:
    cut = [Passage(place=place, text=text) for place, text in passages]
    index.replace(Source(key=name, name=name, title=title), cut)


async def search(pool: HostPool, storage: Path, query: str, **arguments: Any) -> dict[str, Any]:
    context = CallContext(thread_id="thread_1", user="ada", idempotency_key="job_1/call:0", storage=str(storage))
    kept = records_in(storage)
    handler = RecordingHandler(records={key: kept.get(key) for key in kept.versions()})
    result = await pool.call("search_documents", {"query": query, **arguments}, context, handler)
    assert isinstance(result, dict)
    return result


async def test_it_is_offered_with_what_it_takes(pool: HostPool) -> None:
    spec = next(spec for spec in pool.catalogue if spec.name == "search_documents")
    assert spec.run_in == "thread"
    assert set(spec.parameters["properties"]) == {"query", "limit"}
    assert spec.parameters["required"] == ["query"]


async def test_passages_carry_source_place_text_and_score(pool: HostPool, tmp_path: Path, index: IndexStore) -> None:
    put(index, "handbook.pdf", ("page 11", "The ships pass."), ("page 12", "The lamp is lit at dusk."))
    result = await search(pool, tmp_path, "lamp")
    [passage] = result["passages"]
    assert passage.pop("score") > 0
    assert passage == {"source": "handbook.pdf", "place": "page 12", "text": "The lamp is lit at dusk."}
    assert result["documents"] == 1
    assert result["summary"] == (
        "1 passage of the one indexed document for 'lamp':\n\n- handbook.pdf, page 12: The **lamp** is lit at dusk."
    )


async def test_web_pages_are_cited_by_their_address(pool: HostPool, tmp_path: Path, index: IndexStore) -> None:
    put(index, "https://example.org/a", ("§ Oil", "Colza lamps."), ("", "More lamps."), title="On [lamps]")
    put(index, "https://example.org/b", ("", "Other lamps."))
    result = await search(pool, tmp_path, "lamps")
    places = {(passage["source"], passage["place"]) for passage in result["passages"]}
    assert places == {
        ("https://example.org/a", "§ Oil"),
        ("https://example.org/a", "On [lamps]"),
        ("https://example.org/b", "https://example.org/b"),
    }
    assert r"- [On \[lamps\]](<https://example.org/a>), § Oil: Colza **lamps**." in result["summary"]
    assert "- [https://example.org/b](<https://example.org/b>): Other **lamps**." in result["summary"]


async def test_what_was_found_is_shown_as_a_source_with_its_page(
    pool: HostPool, tmp_path: Path, index: IndexStore
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "handbook.pdf").write_bytes(b"%PDF")
    put(index, "handbook.pdf", ("page 12", "The lamp is lit at dusk."), ("pages 14–15", "The lamp is put out."))
    put(index, "https://example.org/a", ("", "Colza lamp."), title="On lamps")
    kept = records_in(tmp_path)
    handler = RecordingHandler(tmp_path / "files", {key: kept.get(key) for key in kept.versions()})
    context = CallContext(
        thread_id="t", user="ada", idempotency_key="k", storage=str(tmp_path), files=("handbook.pdf",)
    )
    await pool.call("search_documents", {"query": "lamp"}, context, handler)
    assert sorted((one["title"], one["url"], one["file_id"], one["page"]) for one in handler.sources) == [
        ("On lamps", "https://example.org/a", None, None),
        ("handbook.pdf", None, "handbook.pdf", 12),
        ("handbook.pdf", None, "handbook.pdf", 14),
    ]


async def test_the_limit_is_kept_and_eight_by_default(pool: HostPool, tmp_path: Path, index: IndexStore) -> None:
    put(index, "a.md", *((f"line {n}", f"Lamp {n}.") for n in range(30)))
    assert len((await search(pool, tmp_path, "lamp"))["passages"]) == 8
    assert len((await search(pool, tmp_path, "lamp", limit=3))["passages"]) == 3
    for limit in (0, 21):
        with pytest.raises(ToolArgumentsInvalid, match="limit"):
            await search(pool, tmp_path, "lamp", limit=limit)


@pytest.mark.parametrize("text", ["lamp " * 400, "灯" * 2_000, "lamp 🗼" * 300])
async def test_the_value_stays_small(pool: HostPool, tmp_path: Path, index: IndexStore, text: str) -> None:
    put(index, "a.md", *((f"line {n}", text) for n in range(30)))
    result = await search(pool, tmp_path, "lamp 灯", limit=20)
    assert result["passages"]
    assert all(len(passage["text"]) <= 1_200 for passage in result["passages"])
    assert len(json.dumps(result, ensure_ascii=False).encode()) < 20_000


async def test_nothing_found_is_said(pool: HostPool, tmp_path: Path, index: IndexStore) -> None:
    put(index, "a.md", ("line 1", "The lamp."))
    put(index, "b.md", ("line 1", "The ship."))
    for query in ("tulips", "🗼", '"', "((("):
        result = await search(pool, tmp_path, query)
        assert result["passages"] == []
        assert result["documents"] == 2
        assert result["summary"].startswith("Nothing in the 2 indexed documents matches ")


async def test_nothing_indexed_says_what_to_do(pool: HostPool, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"Nothing is indexed in this conversation yet. Run index_documents on"):
        await search(pool, tmp_path, "lamp")
    assert list(tmp_path.iterdir()) == []


async def test_what_was_found_cannot_draw_in_the_summary(pool: HostPool, tmp_path: Path, index: IndexStore) -> None:
    text = "# Lamp <img src=x onerror=alert(1)> [click](javascript:alert(1)) `code` ![](http://example.org/track.png)"
    put(index, "a_b.md", ("line 1", text))
    summary = (await search(pool, tmp_path, "lamp <b>"))["summary"]
    assert r"- a\_b.md, line 1: \# **Lamp** \<img src=x onerror=alert(1)\> \[click\](javascript" in summary
    assert r"'lamp \<b\>'" in summary


@pytest.mark.parametrize("query", ["", "x" * 10_001])
async def test_the_query_is_bounded(pool: HostPool, tmp_path: Path, query: str) -> None:
    with pytest.raises(ToolArgumentsInvalid, match="query"):
        await search(pool, tmp_path, query)


async def test_a_long_query_is_searched_for(pool: HostPool, tmp_path: Path, index: IndexStore) -> None:
    put(index, "a.md", ("line 1", "The lamp."))
    result = await search(pool, tmp_path, "lamp " * 2_000)
    assert len(result["passages"]) == 1
    assert len(result["summary"]) < 300
