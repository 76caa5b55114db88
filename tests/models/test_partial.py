"""What a stopped tool leaves: its `partial` runs over what it has finished, and over nothing else."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest

import models.tools
from files.store import DirectoryFileStore
from jobs.context import JobContext
from tests.endpoint import Endpoint
from tests.jobs.engine import fields
from tests.models.desk import Desk, open_desk, settings_for
from tests.waiting import until
from toolkit.pool import HostPool

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def stop(desk: Desk, task: str, arguments: dict[str, Any], *, parts: int, cancel: bool = True) -> JobContext:
    """A job that was stopped, or left by its worker, when so many parts were finished."""
    ctx = await desk.submit(task=task, arguments=arguments)
    running = asyncio.create_task(desk.run(ctx))

    async def finished() -> bool:
        return len([path for path in await desk.finished(ctx) if "complete" not in path]) == parts or running.done()

    await until(finished, within=30, what=f"{parts} parts are finished")
    if cancel:
        ctx.cancelled_at = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    return ctx


def saved(files: DirectoryFileStore, ctx: JobContext, name: str) -> str:
    return files.artifact_path(ctx.job.root_id, name).read_text()


@pytest.mark.parametrize("ending", ["", "fail"])
async def test_finished_parts_are_saved_and_others_do_not_begin(desk: Desk, ending: str) -> None:
    ctx = await stop(desk, "measure", {"words": ["one", "wait", "three"], "ending": ending}, parts=2)
    assert saved(desk.files, ctx, "lengths.txt") == "3 5"
    told = ["info: 'the last' was not finished when the call was stopped."]
    if ending:
        told.append("warning: What was finished could not be saved: The pen is dry.")
    assert await desk.logs(ctx) == told
    assert {fields(event)["total"] for event in await desk.events(ctx, "progress")} == {100}
    assert [one["step"] for one in ctx.stopped if one["kind"] == "tool"] == ["call:0"]


async def test_a_tool_that_its_worker_leaves_saves_nothing(desk: Desk) -> None:
    ctx = await stop(desk, "measure", {"words": ["one", "wait"]}, parts=1, cancel=False)
    assert not await desk.events(ctx, "artifact")


async def test_a_partial_that_does_not_end_is_stopped_and_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.tools, "PARTIAL_SECONDS", 0.5)
    ctx = await stop(desk, "measure", {"words": ["one", "wait"], "ending": "hang"}, parts=1)
    assert (await desk.logs(ctx))[-1] == "warning: What was finished could not be saved within 0.5 s."
    assert saved(desk.files, ctx, "lengths.txt") == "3"
    assert all(float(str(one["seconds"])) < 30 for one in ctx.stopped)


async def test_a_stopped_table_has_the_answers_that_there_are(endpoint: Endpoint, tmp_path: Path) -> None:
    async with (
        HostPool([ROOT / "tools"], spare_hosts=0) as shipped,
        open_desk(tmp_path, settings_for(endpoint.url), shipped) as desk,
    ):
        await desk.models.ready()
        words = ["word=a tokens=1", "word=b tokens=1", *(f"delay=60 {n}" for n in range(30))]
        table = await desk.upload("words.csv", "\n".join(["word", *words]))
        arguments = {"table": table.id, "prompt": "{word}", "concurrency": 2}
        ctx = await stop(desk, "map_table", arguments, parts=2)
        rows = list(csv.DictReader(io.StringIO(saved(desk.files, ctx, "words-answers.csv"))))
        assert [(row["answer"], row["status"]) for row in rows[:3]] == [
            ("a0", "done"),
            ("b0", "done"),
            ("", "not asked"),
        ]
        assert len(rows) == 32
        assert await desk.logs(ctx) == ["info: 2 of 32 rows have an answer, in words-answers.csv"]
