"""The lines about a job: in their order, each once, with what an operator needs and nothing that people wrote."""

from __future__ import annotations

import asyncio
import logging

import pytest

from jobs import JSON, JobContext, Step, StepFailed, journal
from tests.jobs.engine import Engine, chat
from tests.waiting import until

SOON = 20.0
OBEYED = ["job submitted", "job claimed", "step stopped", "job ended"]


@pytest.fixture
def written(engine: Engine, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "jobs")
    engine.transitions.listen(journal.write)
    return caplog


def told(written: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in written.records if record.name.startswith("jobs")]


async def parts(ctx: JobContext) -> JSON:
    async def part(step: Step, item: int) -> JSON:
        step.text("secret words")
        return item

    async def bad(_: Step) -> JSON:
        raise StepFailed("model_refused", "It says: secret words.")

    await ctx.map("rows", [1, 2, 3], part, limit=2, name="row")
    try:
        await ctx.step("model:1", bad, name="gpt", kind="model")
    except StepFailed:
        return "secret words"
    return None


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_a_job_is_a_handful_of_lines_and_its_parts_are_for_those_who_look_closely(
    engine: Engine, written: pytest.LogCaptureFixture, level: int
) -> None:
    written.set_level(level, "jobs")
    job = await engine.client.submit(chat("secret words"))
    async with engine.working({"chat": parts}), asyncio.timeout(SOON):
        await engine.log(job.id)
    of_parts = ["part finished"] * 3 if level == logging.DEBUG else []
    assert told(written) == ["job submitted", "job claimed", *of_parts, "step finished", "job ended"]
    lines = [record.__dict__["fields"] for record in written.records]
    assert {(line["job"], line["user"], line["task"]) for line in lines} == {(job.id, "ada", "chat")}
    assert [line["error"] for line in lines if line.get("kind") == "model"] == ["model_refused"]
    assert "secret" not in str(lines)


async def test_a_cancel_is_asked_for_and_obeyed_in_the_log(engine: Engine, written: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def task(ctx: JobContext) -> JSON:
        async def wait(_: Step) -> JSON:
            begun.set()
            await asyncio.Future()

        return await ctx.step("model:1", wait, name="gpt", kind="model")

    job = await engine.client.submit(chat())
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        await begun.wait()
        await engine.client.cancel(job.id, "ada")
        await engine.log(job.id)
    # The process that asks and the one that obeys write independently: only their own lines have an order.
    assert [line for line in told(written) if line != "cancel requested"] == OBEYED
    assert told(written).count("cancel requested") == 1
    (ended,) = (record for record in written.records if record.message == "job ended")
    assert ended.__dict__["fields"]["status"] == "cancelled"


async def test_a_drained_job_is_handed_over_by_its_worker(engine: Engine, written: pytest.LogCaptureFixture) -> None:
    async def task(ctx: JobContext) -> JSON:
        await asyncio.Future()

    await engine.client.submit(chat())
    async with engine.working({"chat": task}) as worker:
        await until(lambda: "job claimed" in told(written), within=SOON, what="the job is claimed")
        await worker.drain(0)
    assert told(written) == ["job submitted", "job claimed", "worker draining", "job handed over"]
