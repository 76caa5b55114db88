"""How long a tool call may still take, and when it is silent for too long."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from background import run_together
from jobs import JSON, JobContext, Step
from jobs.estimates import (
    MAX_RUNS,
    MIN_RUNS,
    Pace,
    Place,
    Run,
    run_of_job,
    stalled_after,
    starts_in,
    unit_of,
    usual_silence,
)
from jobs.events import Log, Progress, StepStarted
from tests.jobs.engine import Engine, chat
from tests.waiting import until


def report(done: float, total: float | None = 100, message: str = "") -> Progress:
    return Progress(step="call:0", done=done, total=total, message=message)


def run(unit_seconds: float | None = 1.0, *, unit: str = "", silence: float = 1.0) -> Run:
    return Run(name="index", unit=unit, unit_seconds=unit_seconds, silence_seconds=silence)


def test_the_first_estimate_is_the_median_of_earlier_runs_and_what_nine_of_ten_stay_below() -> None:
    pace = Pace("index", [run(seconds) for seconds in (1, 1, 2, 3, 3)], at=0.0)
    assert pace.left(report(0), at=0.0) == (200.0, 300.0)


def test_with_few_runs_or_without_a_total_or_of_another_unit_there_is_no_estimate() -> None:
    assert Pace("index", [run()] * (MIN_RUNS - 1), at=0.0).left(report(1), at=1.0) is None
    assert Pace("index", [run()] * MIN_RUNS, at=0.0).left(report(1, None), at=1.0) is None
    pages = Pace("index", [run(unit="pages")] * MIN_RUNS, at=0.0)
    assert pages.left(report(1, 300, "1 of 300 rows"), at=1.0) is None
    assert pages.left(report(1, 300, "1 of 300 pages"), at=1.0) == (299.0, 299.0)


def test_its_own_speed_counts_as_soon_as_it_can_be_measured() -> None:
    pace = Pace("index", [run()] * MIN_RUNS, at=0.0)
    pace.left(report(40), at=10.0)  # what an earlier attempt has done took no time
    assert pace.left(report(50), at=12.0) == (10.0, 10.0)
    assert pace.left(report(60), at=22.0) == (24.0, 24.0)


def place(task: str, thread: str | None = None, *, started_at: float | None = None) -> Place:
    return Place(id=f"{task}-{thread}", task=task, thread_id=thread, started_at=started_at)


PAST = {
    "job fast": [run_of_job("fast", seconds) for seconds in (1, 1, 2, 3, 3)],
    "job slow": [run_of_job("slow", 60)] * MIN_RUNS,
    "job rare": [run_of_job("rare", 60)] * (MIN_RUNS - 1),
}


def test_a_turn_waits_for_those_before_it_in_its_thread() -> None:
    line = [place("fast", "a", started_at=9.5), place("slow", "b"), place("slow", "a"), place("chat", "a")]
    assert starts_in(line, PAST, now=10.0) == {"slow-b": (1.5, 2.5), "slow-a": (1.5, 2.5), "chat-a": (61.5, 62.5)}


def test_other_jobs_wait_for_their_share_of_the_work_before_them() -> None:
    line = [place("slow", "a", started_at=50.0), place("slow", "b", started_at=90.0), place("slow"), place("fast")]
    assert starts_in(line, PAST, now=100.0) == {"slow-None": (30.0, 30.0), "fast-None": (60.0, 60.0)}


def test_a_turn_behind_another_that_waits_starts_later_than_that() -> None:
    line = [place("slow", "a", started_at=0.0), place("slow", "b"), place("fast", "b"), place("rare", "c")]
    line += [place("fast", "d"), place("fast", "d")]
    assert starts_in(line, PAST, now=0.0) == {
        "slow-b": (60.0, 60.0),
        "fast-b": (120.0, 120.0),
        "rare-c": (122.0, 123.0),
    }


def test_nobody_is_told_to_wait_for_a_job_that_takes_longer_than_it_should() -> None:
    line = [place("slow", "a", started_at=0.0), place("fast", "a")]
    assert starts_in(line, PAST, now=60.0) == {"fast-a": (0.0, 0.0)}
    assert starts_in(line, PAST, now=61.0) == {}


def test_who_waits_behind_something_unknown_is_told_nothing() -> None:
    line = [place("slow", "a", started_at=0.0), place("rare", "b", started_at=0.0), place("slow"), place("fast", "a")]
    assert starts_in(line, PAST, now=0.0) == {"fast-a": (60.0, 60.0)}


async def test_finished_jobs_tell_those_that_wait_when_they_start(engine: Engine) -> None:
    async def ends(_: JobContext) -> JSON:
        return None

    async with engine.working({"chat": ends}):
        for _ in range(MIN_RUNS):
            await engine.log((await engine.client.submit(chat())).id)
    first, second = [await engine.client.submit(chat(thread_id="t")) for _ in range(2)]
    assert set(await engine.client.waits([first, second])) == {first.id, second.id}
    for _ in range(MAX_RUNS):
        engine.store.add_run(run_of_job("chat", 60.0))

    async def told() -> bool:
        return await engine.client.waits([first, second]) == {first.id: (0.0, 0.0), second.id: (60.0, 60.0)}

    await until(told, within=30, what="the waits of both")
    assert await engine.client.waits([second]) == {second.id: (60.0, 60.0)}


@given(st.lists(st.floats(0.01, 5.0), min_size=3, max_size=30), st.lists(st.floats(0.1, 3.0), min_size=5, max_size=9))
def test_the_time_left_grows_only_when_the_call_has_become_slower(steps: list[float], past: list[float]) -> None:
    pace = Pace("index", [run(seconds) for seconds in past], at=0.0)
    at, speeds, told = 0.0, list[float](), list[tuple[float, float]]()
    for done, seconds in enumerate(steps, 1):
        at += seconds
        left = pace.left(report(done, len(steps)), at)
        assert left is not None
        assert 0 <= left[0] <= left[1]
        told.append(left)
        speeds.append((at - steps[0]) / max(1, done - 1))
    for before, after, slow, slower in zip(told[2:], told[3:], speeds[2:], speeds[3:], strict=False):
        if slower <= slow:
            assert after[0] <= before[0] + 0.11
            assert after[1] <= before[1] + 0.11


def test_the_range_grows_with_what_there_is_to_do() -> None:
    pace = Pace("crawl", [run()] * MIN_RUNS, at=0.0)
    pace.left(report(0, 2), at=0.0)
    assert pace.left(report(1, 2), at=1.0) == (1.0, 1.0)
    assert pace.left(report(2, 150), at=2.0) == (148.0, 148.0)


def test_the_unit_is_the_word_behind_the_total() -> None:
    assert unit_of(report(12, 300, "12 of 300 rows, 900 tokens")) == "rows"
    assert unit_of(report(12, 1300, "12 of 1,300 pages")) == "pages"
    assert [unit_of(report(1, total, "reading")) for total in (None, 3)] == ["", ""]


def test_the_usual_silence_is_known_after_some_runs() -> None:
    assert usual_silence([run(silence=2)] * (MIN_RUNS - 1)) is None
    assert usual_silence([run(silence=2)] * MIN_RUNS) == 2
    assert usual_silence([run(silence=seconds) for seconds in (1, 1, 1, 1, 60)]) == pytest.approx(48.2)
    assert [stalled_after(silence) for silence in (0.1, 20.0)] == [10.0, 60.0]


def test_a_call_is_measured_to_its_end_although_its_last_report_came_before() -> None:
    pace = Pace("index", [], at=0.0)
    pace.left(report(0, 4, "0 of 4 pages"), at=1.0)
    pace.left(report(3, 4, "3 of 4 pages"), at=7.0)
    assert pace.run(at=9.0) == run(2.0, unit="pages", silence=6.0)


def test_of_a_call_that_ended_early_only_the_silence_is_known() -> None:
    pace = Pace("index", [], at=0.0)
    pace.left(report(1, 4), at=1.0)
    assert pace.run(at=3.0) == run(None, silence=2.0)
    assert Pace("index", [], at=0.0).run(at=3.0) == run(None, silence=3.0)


async def test_calls_are_kept_as_runs_from_which_later_ones_are_estimated(engine: Engine) -> None:
    async def call(ctx: JobContext) -> JSON:
        return await ctx.step("call:0", work, name="index", kind="tool")

    async def work(step: Step) -> JSON:
        for done in range(5):
            await step.progress(done, 4, f"{done} of 4 pages")
            await asyncio.sleep(0.12)
        return None

    async with engine.working({"chat": call}):
        for _ in range(MIN_RUNS + 1):
            log = await engine.log((await engine.client.submit(chat())).id)
    payloads = [event.payload for event in log]
    told = [one.eta_seconds for one in payloads if isinstance(one, Progress)]
    [begun] = [one for one in payloads if isinstance(one, StepStarted)]
    assert begun.stalled_after_seconds == 10.0
    assert told[0] is not None
    assert told[-1] == [0.0, 0.0]
    runs = await engine.store.runs("index")
    assert [(one.unit, one.unit_seconds is not None) for one in runs] == [("pages", True)] * (MIN_RUNS + 1)


async def test_only_the_newest_runs_of_a_tool_are_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.sql.runs.MAX_RUNS", 3)
    for seconds in range(5):
        engine.store.add_run(run(float(seconds)))
    engine.store.add_run(Run(name="other", unit="", unit_seconds=None, silence_seconds=0.0))
    await engine.store.submit(chat())  # a write behind them
    assert [one.unit_seconds for one in await engine.store.runs("index")] == [2.0, 3.0, 4.0]
    assert [one.unit_seconds for one in await engine.store.runs("other")] == [None]


async def test_each_of_two_tools_at_once_is_judged_by_its_own_silence(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.estimates._MIN_STALLED_SECONDS", 0.05)

    def fill(name: str, silence: float) -> None:
        for _ in range(MIN_RUNS):
            engine.store.add_run(Run(name=name, unit="", unit_seconds=None, silence_seconds=silence))

    async def call(ctx: JobContext) -> JSON:
        return await run_together(
            [ctx.step("call:0", hang, name="hangs", kind="tool"), ctx.step("call:1", talk, name="talks", kind="tool")]
        )

    async def hang(step: Step) -> JSON:
        await released.wait()
        return None

    async def talk(step: Step) -> JSON:
        while not released.is_set():
            await step.log("info", "still here")
            await asyncio.sleep(0.02)
        return None

    released = asyncio.Event()
    fill("hangs", 0.1)
    fill("talks", 100.0)
    async with engine.working({"chat": call}):
        job = await engine.client.submit(chat())

        async def stalled_in() -> float | None:
            at = (await engine.client.summaries([await engine.client.get(job.id, "ada")]))[job.id].stalled_at
            return None if at is None else at - engine.clock()

        async def stalls() -> bool:
            return (left := await stalled_in()) is not None and left <= 0

        try:
            await until(stalls, within=30, what="the job to be stalled although one of its tools talks")
        finally:
            released.set()
        log = await engine.log(job.id)
    logs = [event.payload for event in log if event.type == "log"]
    left = [one.stalled_after_seconds or 0.0 for one in logs if isinstance(one, Log)]
    assert left[0] == pytest.approx(0.3, abs=0.1)
    assert left[-1] == 0
    assert left == sorted(left, reverse=True)
