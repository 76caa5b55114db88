"""What the offline model says and does."""

import asyncio
import time
from typing import Any

import pytest

from tests.models.desk import Desk
from tests.waiting import until

PARAGRAPH = (
    "The lighthouse was built in 1820 on the northern cliff. Its lamp was fuelled with whale oil for forty years. "
    "Keepers lived in a cottage beside the lighthouse with their families. In 1861 the lamp was converted to paraffin, "
    "which was cheaper and brighter. The lighthouse was automated in 1986 and the last keeper left the cliff. "
    "Today the cottage is a small museum about the keepers and the lamp. "
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("words", ["Hello!", "What can you do?", "Who wrote Faust?"])
async def test_it_says_what_it_is_how_to_get_a_model_and_what_the_tools_are(offline: Desk, words: str) -> None:
    text = await offline.answer(words)
    assert "No language model is connected" in text
    assert "OPENAI_API_KEY" in text
    for spec in offline.pool.catalogue:
        assert f"`{spec.name}`" in text


async def test_its_words_stream(offline: Desk) -> None:
    ctx = await offline.submit("Hello!")
    await offline.run(ctx)
    assert len(await offline.events(ctx, "text.delta")) > 10


async def test_it_can_be_stopped_in_the_middle(offline: Desk) -> None:
    ctx = await offline.submit("Hello!")
    running = asyncio.create_task(offline.run(ctx))
    await until(lambda: offline.events(ctx, "text.delta"), within=30, what="the first words")
    begin = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - begin < 10


async def test_a_pasted_text_is_summarised_in_its_own_sentences(offline: Desk) -> None:
    text = await offline.answer(f"Summarize this:\n{PARAGRAPH}")
    points = [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")]
    assert 2 <= len(points) <= 6
    assert all(point in PARAGRAPH for point in points)
    assert "No language model is connected" in text


@pytest.mark.parametrize("words", ["Please summarize", "tl;dr", ""])
async def test_attached_documents_are_given_to_the_summary_tool(offline: Desk, words: str) -> None:
    file = await offline.upload("report.txt", PARAGRAPH)
    ctx = await offline.submit(words, files=(file.id,))
    result = await offline.run(ctx)
    assert (await offline.finished(ctx))["model:1"]["output"]["tool_calls"][0]["arguments"] == {"documents": [file.id]}
    assert "- A point of report.txt [p. 1]" in result["text"]
    assert "> One page is blank." in result["text"]


async def test_documents_of_an_earlier_turn_are_meant_when_none_is_attached(offline: Desk) -> None:
    file = await offline.upload("report.txt", PARAGRAPH)
    await offline.answer("Who is this about, and when did it all begin?", files=(file.id,), thread_id="t1")
    assert "A point of report.txt" in await offline.answer("Now summarize it", thread_id="t1")


@pytest.mark.parametrize("words", ["echo text=moin", 'Use echo {"text": "moin"}'])
async def test_a_named_tool_is_called_with_the_given_arguments(offline: Desk, words: str) -> None:
    assert (await offline.answer(words)).endswith("\n\nmoin")


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("echo text=5", {"text": "5"}),
        ("ask_about items='the first','the second' limit=1", {"items": ["the first", "the second"], "limit": 1}),
        ("ask_about items=one items=two", {"items": ["one", "two"]}),
    ],
)
async def test_arguments_are_read_by_what_the_tool_takes(offline: Desk, words: str, arguments: dict[str, Any]) -> None:
    ctx = await offline.submit(words)
    await offline.run(ctx)
    assert (await offline.finished(ctx))["model:1"]["output"]["tool_calls"][0]["arguments"] == arguments


async def test_a_named_tool_without_its_arguments_is_asked_for_them(offline: Desk) -> None:
    assert "`echo` needs `text`" in await offline.answer("echo please")


async def test_a_tools_failure_is_told(offline: Desk) -> None:
    assert "The tool `refuse` reports: The moon is not full." in await offline.answer("refuse")


async def test_model_calls_of_tools_are_answered_from_their_material(offline: Desk) -> None:
    ctx = await offline.submit(task="ask_about", arguments={"items": [PARAGRAPH]})
    result = await offline.run(ctx)
    assert all(f"{sentence}." in PARAGRAPH for sentence in result[PARAGRAPH].rstrip(".").split(". "))
    assert ctx.usage is None
