"""What a worker does with a job, seen in the job's log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from jobs import JSON, Job, JobContext, JobFailed, JobIncomplete, JobNotFound, Step, StepFailed
from jobs.errors import EpochStale
from tests.jobs.engine import Engine, OpenEngine, chat, claim, fields, is_gapless, types, write
from tests.waiting import until

SOON = 30.0


def says(words: list[str]) -> Callable[[JobContext], Awaitable[JSON]]:
    async def task(ctx: JobContext) -> JSON:
        async def speak(step: Step) -> JSON:
            for word in words:
                step.text(word)
            return None

        await ctx.step("model:1", speak, name="model", kind="model")
        return {"text": "".join(words)}

    return task


async def run(engine: Engine, task: Callable[[JobContext], Awaitable[JSON]], **fields: object) -> Job:
    job = await engine.client.submit(chat(**fields))  # type: ignore[arg-type]
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        await engine.log(job.id)
    return await engine.client.get(job.id, "ada")


async def test_a_job_runs_to_its_end_and_its_text_is_whole(engine: Engine) -> None:
    words = [f"w{n} " for n in range(500)]
    job = await run(engine, says(words))
    events = await engine.log(job.id)
    assert is_gapless(events)
    assert "".join(fields(event)["text"] for event in events if event.type == "text.delta") == "".join(words)
    assert fields(events[-1]) == {"result": {"text": "".join(words)}, "usage": None}


async def test_text_that_comes_at_once_is_written_in_few_events(engine: Engine) -> None:
    job = await run(engine, says(["x"] * 1000))
    assert len([e for e in await engine.log(job.id) if e.type == "text.delta"]) <= 3


async def test_a_huge_piece_of_text_is_written_in_bounded_events(engine: Engine) -> None:
    job = await run(engine, says(["x" * 100_000]))
    sizes = [len(fields(e)["text"]) for e in await engine.log(job.id) if e.type == "text.delta"]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 4096


async def test_a_finished_step_is_never_run_again(open_engine: OpenEngine) -> None:
    ran: list[str] = []

    async def task(ctx: JobContext) -> JSON:
        async def first(step: Step) -> JSON:
            ran.append(f"first:{step.attempt}")
            return {"n": 1}

        async def second(step: Step) -> JSON:
            ran.append(f"second:{step.attempt}")
            if step.attempt == 1:
                raise asyncio.CancelledError  # the process is gone in the middle of the step
            return 2

        return [
            await ctx.step("a", first, name="a", kind="tool"),
            await ctx.step("b", second, name="b", kind="tool"),
        ]

    async with open_engine() as engine:
        job = await engine.client.submit(chat())
        async with engine.working({"chat": task}):
            await until(lambda: len(ran) >= 2, within=SOON, what="the second step began")
        async with engine.working({"chat": task}), asyncio.timeout(SOON):
            events = await engine.log(job.id)
        assert ran == ["first:1", "second:1", "second:2"]
        assert fields(events[-1])["result"] == [{"n": 1}, 2]
        assert types(events).count("job.started") == 2


async def test_a_failed_step_is_replayed_as_a_failure_and_run_again_by_a_retry(engine: Engine) -> None:
    ran: list[str] = []

    async def task(ctx: JobContext) -> JSON:
        async def good(step: Step) -> JSON:
            ran.append("good")
            return 1

        async def bad(step: Step) -> JSON:
            ran.append("bad")
            if ran.count("bad") == 1:
                raise StepFailed("model_unreachable", "The model does not answer; try again later.")
            return 2

        await ctx.step("good", good, name="good", kind="tool")
        return await ctx.step("bad", bad, name="bad", kind="tool")

    failed = await run(engine, task)
    assert fields((await engine.log(failed.id))[-1])["error"]["code"] == "model_unreachable"
    retry = await engine.client.retry(failed.id, "ada")
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        events = await engine.log(retry.id)
    assert fields(events[-1])["result"] == 2
    assert ran == ["good", "bad", "bad"]


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (JobFailed("code", "A sentence."), ("job.failed", {"error": {"code": "code", "message": "A sentence."}})),
        (JobIncomplete("length", {"text": "a"}), ("job.incomplete", {"reason": "length", "result": {"text": "a"}})),
    ],
)
async def test_a_task_says_how_it_ends(engine: Engine, error: Exception, last: tuple[str, object]) -> None:
    async def task(ctx: JobContext) -> JSON:
        raise error

    job = await run(engine, task)
    end = (await engine.log(job.id))[-1]
    assert (end.type, fields(end)) == last


async def test_a_defect_in_a_task_ends_the_job_without_showing_internals(engine: Engine) -> None:
    async def task(ctx: JobContext) -> JSON:
        raise ValueError("secret path /srv/x")

    job = await run(engine, task)
    end = (await engine.log(job.id))[-1]
    assert end.type == "job.failed"
    assert "secret" not in str(fields(end))
    assert "ValueError" not in str(fields(end))


async def test_a_cancel_stops_the_work_keeps_its_text_and_says_what_was_stopped(engine: Engine) -> None:
    begun = asyncio.Event()

    async def task(ctx: JobContext) -> JSON:
        async def speak(step: Step) -> JSON:
            step.text("partial")
            begun.set()
            await asyncio.Event().wait()

        return await ctx.step("model:1", speak, name="model", kind="model")

    job = await engine.client.submit(chat())
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        await begun.wait()
        await engine.client.cancel(job.id, "ada")
        events = await engine.log(job.id)
    assert types(events)[-3:] == ["text.delta", "job.cancelling", "job.cancelled"]
    (stopped,) = fields(events[-1])["stopped"]
    assert (stopped["step"], stopped["name"], stopped["kind"]) == ("model:1", "model", "model")
    assert stopped["seconds"] < 1


async def test_a_pause_ends_when_its_user_wants_to_go_on(engine: Engine) -> None:
    waiting = asyncio.Event()

    async def waits(ctx: JobContext) -> JSON:
        async def pause(step: Step) -> JSON:
            await step.waiting("rate_limited", 4e9)
            waiting.set()
            await step.pause(600)
            return "went on"

        return await ctx.step("model:1", pause, name="m", kind="model")

    job = await engine.client.submit(chat())
    async with engine.working({"chat": waits}), asyncio.timeout(SOON):
        await waiting.wait()
        with pytest.raises(JobNotFound):
            await engine.client.try_now(job.id, "bob")
        await until(lambda: tells(engine, job, "step.waiting"), within=SOON, what="it waits")
        await engine.client.try_now(job.id, "ada")
        events = await engine.log(job.id)
    assert [fields(event)["message"] for event in events if event.type == "log"] == ["Trying again now, as ada asked."]
    assert fields(events[-1])["result"] == "went on"
    assert (await engine.client.try_now(job.id, "ada")).ended


async def test_nothing_is_written_when_a_job_that_works_is_asked_to_try_now(engine: Engine) -> None:
    begun, on = asyncio.Event(), asyncio.Event()

    async def works(_: JobContext) -> JSON:
        begun.set()
        await on.wait()
        return None

    job = await engine.client.submit(chat())
    async with engine.working({"chat": works}), asyncio.timeout(SOON):
        await begun.wait()
        for _ in range(3):
            await engine.client.try_now(job.id, "ada")
        on.set()
        assert types(await engine.log(job.id)) == ["job.queued", "job.started", "job.completed"]


async def tells(engine: Engine, job: Job, kind: str) -> bool:
    return kind in types(await engine.store.read(job.id, 0, 1_000))


async def test_a_cancel_in_the_moment_of_the_end_leaves_one_end(engine: Engine) -> None:
    async def task(ctx: JobContext) -> JSON:
        return None

    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        for _ in range(20):
            job = await engine.client.submit(chat())
            await engine.client.cancel(job.id, "ada")
            events = await engine.log(job.id)
            assert len([event for event in events if event.terminal]) == 1
            assert events[-1].terminal


async def test_parts_of_a_map_are_bounded_and_each_is_checkpointed(engine: Engine) -> None:
    running: set[int] = set()
    widest = 0
    ran: list[int] = []

    async def task(ctx: JobContext) -> JSON:
        async def part(step: Step, item: int) -> JSON:
            nonlocal widest
            running.add(item)
            widest = max(widest, len(running))
            await asyncio.sleep(0)
            running.discard(item)
            ran.append(item)
            if item == 20 and step.attempt == 1:
                raise asyncio.CancelledError
            return item * 2

        return await ctx.map("rows", range(30), part, limit=4, name="row")

    job = await engine.client.submit(chat())
    async with engine.working({"chat": task}):
        await until(lambda: 20 in ran, within=SOON, what="the run is interrupted")
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        events = await engine.log(job.id)
    assert fields(events[-1])["result"] == [item * 2 for item in range(30)]
    assert widest <= 4
    assert len(ran) <= 30 + 4


async def test_a_worker_that_slept_through_a_takeover_stops_and_writes_nothing(engine: Engine) -> None:
    go_on = asyncio.Event()
    refused: list[BaseException] = []

    async def task(ctx: JobContext) -> JSON:
        async def speak(step: Step) -> JSON:
            step.text("mine")
            await go_on.wait()
            step.text("not mine any more")
            try:
                await asyncio.sleep(SOON)
            except asyncio.CancelledError as error:
                refused.append(error)
                raise

        return await ctx.step("model:1", speak, name="model", kind="model")

    job = await engine.client.submit(chat())
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        await until(lambda: _wrote(engine, job.id, "mine"), within=SOON, what="the first text")
        taken = await claim(engine.store, "w2")
        assert taken is not None
        go_on.set()
        await until(lambda: refused, within=SOON, what="the zombie is stopped")
    events = await engine.store.read(job.id, 0, 100)
    assert is_gapless(events)
    assert "not mine any more" not in str(events)
    with pytest.raises(EpochStale):
        await write(engine.store, job.id)


async def _wrote(engine: Engine, job_id: str, text: str) -> bool:
    return text in str([fields(e) for e in await engine.store.read(job_id, 0, 100) if e.type == "text.delta"])


async def test_a_draining_worker_leaves_its_jobs_at_a_checkpoint(engine: Engine) -> None:
    ran: list[str] = []
    first_runs, go_on = asyncio.Event(), asyncio.Event()

    async def task(ctx: JobContext) -> JSON:
        async def first(step: Step) -> JSON:
            first_runs.set()
            await go_on.wait()
            ran.append("first")
            return 1

        async def second(step: Step) -> JSON:
            ran.append("second")
            return 2

        await ctx.step("a", first, name="a", kind="tool")
        return await ctx.step("b", second, name="b", kind="tool")

    job = await engine.client.submit(chat())
    async with engine.working({"chat": task}) as worker, asyncio.timeout(SOON):
        await first_runs.wait()
        draining = asyncio.create_task(worker.drain(SOON))
        await asyncio.sleep(0)
        go_on.set()
        await draining
    assert ran == ["first"]
    assert (await engine.client.get(job.id, "ada")).status == "in_progress"
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        events = await engine.log(job.id)
    assert ran == ["first", "second"]
    assert fields(events[-1])["result"] == 2


async def test_a_job_left_by_a_draining_worker_goes_on_while_that_worker_still_runs_another(engine: Engine) -> None:
    held_up, both_run = asyncio.Event(), asyncio.Barrier(3)

    async def task(ctx: JobContext) -> JSON:
        async def first(step: Step) -> JSON:
            await both_run.wait()
            if ctx.job.request.input == "long":
                await held_up.wait()
            return 1

        await ctx.step("a", first, name="a", kind="tool")
        return await ctx.step("b", _nothing, name="b", kind="tool")

    long, short = [await engine.client.submit(chat(text, user=text)) for text in ("long", "short")]
    async with asyncio.timeout(SOON), engine.working({"chat": task}) as first:
        await both_run.wait()
        draining = asyncio.create_task(first.drain(SOON))
        async with engine.working({"chat": task}):
            events = await engine.log(short.id, "short")
            assert events[-1].type == "job.completed"
            assert not (await engine.client.get(long.id, "long")).ended
            held_up.set()
            await engine.log(long.id, "long")
        await draining


async def _nothing(step: Step) -> JSON:
    return None


async def test_slots_bound_what_a_worker_runs_at_a_time(engine: Engine) -> None:
    running = widest = 0
    go_on = asyncio.Event()

    async def task(ctx: JobContext) -> JSON:
        nonlocal running, widest
        running += 1
        widest = max(widest, running)
        await go_on.wait()
        running -= 1
        return None

    jobs = [await engine.client.submit(chat(str(n))) for n in range(6)]
    async with engine.working({"chat": task}, slots=2), asyncio.timeout(SOON):
        await until(lambda: running == 2, within=SOON, what="two run")
        go_on.set()
        for job in jobs:
            await engine.log(job.id)
    assert widest == 2


async def test_a_turn_sees_the_newest_of_each_earlier_turn(engine: Engine) -> None:
    seen: list[list[tuple[str | None, str | None]]] = []

    async def task(ctx: JobContext) -> JSON:
        seen.append(
            [
                (turn.job.request.input, turn.transcript.end.type if turn.transcript.end else None)
                for turn in await ctx.history()
            ]
        )
        if ctx.job.request.input == "bad" and ctx.job.retry_of is None:
            raise JobFailed("x", "No.")
        return {"text": "ok"}

    await run(engine, task, text="one", thread_id="t")
    bad = await run(engine, task, text="bad", thread_id="t")
    retry = await engine.client.retry(bad.id, "ada")
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        await engine.log(retry.id)
    await run(engine, task, text="three", thread_id="t")
    assert seen == [
        [],
        [("one", "job.completed")],
        [("one", "job.completed")],
        [("one", "job.completed"), ("bad", "job.completed")],
    ]


async def test_deleting_a_running_job_s_thread_stops_it(engine: Engine) -> None:
    begun = asyncio.Event()

    async def task(ctx: JobContext) -> JSON:
        begun.set()
        await asyncio.Event().wait()

    job = await engine.client.submit(chat(thread_id="t"))
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        await begun.wait()
        await engine.client.delete_thread("t", "ada")
        await until(lambda: engine.store.deleted_threads(), within=SOON, what="its job has ended")
        await engine.store.purge_thread("t")
    with pytest.raises(JobNotFound):
        await engine.client.get(job.id, "ada")


async def test_a_job_that_is_claimed_while_the_worker_looks_for_wishes_is_not_let_go(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at the store is old by the time it is read."""
    held = engine.store.held
    looked, looking = asyncio.Event(), asyncio.Event()

    async def slow(worker: str) -> object:
        snapshot = await held(worker)
        looking.set()
        await looked.wait()
        return snapshot

    monkeypatch.setattr(engine.store, "held", slow)

    async def task(ctx: JobContext) -> JSON:
        if ctx.job.request.input == "second":
            looked.set()
            await asyncio.sleep(0.1)
        else:
            await looked.wait()
        return None

    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        first = await engine.client.submit(chat("first"))
        await looking.wait()
        second = await engine.client.submit(chat("second"))
        for job in (first, second):
            assert (await engine.log(job.id))[-1].type == "job.completed"


async def test_a_result_that_is_no_json_fails_its_job_alone(engine: Engine) -> None:
    async def task(ctx: JobContext) -> JSON:
        return {1, 2} if ctx.job.request.input == "bad" else "good"

    bad = await engine.client.submit(chat("bad"))
    good = await engine.client.submit(chat("good"))
    async with engine.working({"chat": task}), asyncio.timeout(SOON):
        assert (await engine.log(bad.id))[-1].type == "job.failed"
        assert fields((await engine.log(good.id))[-1])["result"] == "good"


async def test_the_last_report_of_a_step_is_always_written(engine: Engine) -> None:
    async def task(ctx: JobContext) -> JSON:
        async def count(step: Step) -> JSON:
            for n in range(1, 6):
                await step.progress(n, None)

        return await ctx.step("count", count, name="count", kind="tool")

    job = await run(engine, task)
    reports = [fields(e)["done"] for e in await engine.log(job.id) if e.type == "progress"]
    assert (reports[0], reports[-1]) == (1, 5)
