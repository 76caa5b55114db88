"""The chat turn searches the documents that its thread has indexed."""

from __future__ import annotations

import pytest

from tests.endpoint import Endpoint
from tests.models.desk import Desk

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def indexed(desk: Desk, thread: str) -> None:
    """A person has run the indexing tool in the thread."""
    file = await desk.upload("log.txt", "The mast broke at noon.")
    ctx = await desk.submit(
        task="index_documents", arguments={"documents": [file.id]}, thread_id=thread, files=(file.id,)
    )
    await desk.run(ctx)


async def test_passages_are_before_the_model_when_it_is_asked(desk: Desk, endpoint: Endpoint) -> None:
    await indexed(desk, "t1")
    ctx = await desk.submit("When did the mast break? tokens=1", thread_id="t1")
    await desk.run(ctx)
    assert (await desk.finished(ctx))["call:1"]["output"].keys() == {"content"}
    sent = endpoint.requests()[-1].body["messages"]
    assert [message["role"] for message in sent[-3:]] == ["user", "assistant", "tool"]
    assert "page 3" in sent[-1]["content"]


async def test_a_thread_without_an_index_is_not_searched(desk: Desk, endpoint: Endpoint) -> None:
    ctx = await desk.submit("When did the mast break? tokens=1", thread_id="t2")
    await desk.run(ctx)
    assert list(await desk.finished(ctx)) == ["model:1"]


async def test_the_offline_model_gives_the_passages_and_says_what_they_are(offline: Desk) -> None:
    await indexed(offline, "t1")
    text = await offline.answer("When did the mast break?", thread_id="t1")
    assert "page 3" in text
    assert "No language model is connected" in text


async def test_the_offline_model_still_runs_what_it_is_asked_to_run(offline: Desk) -> None:
    await indexed(offline, "t1")
    assert "back again" in await offline.answer('echo text="back again"', thread_id="t1")


async def test_a_tool_that_asks_the_stand_in_says_so_once(offline: Desk) -> None:
    ctx = await offline.submit(task="ask_about", arguments={"items": ["The mast broke.", "The crew was saved."]})
    await offline.run(ctx)
    [line] = await offline.logs(ctx)
    assert "No language model is connected" in line
