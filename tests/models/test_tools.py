"""Tools as jobs of their own, and what their contexts ask of the job."""

import asyncio
import contextlib
import hashlib
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from files.errors import StoredFileNotFound
from files.store import DirectoryFileStore, StorageCopy, StorageOf
from jobs.errors import EpochStale, JobIncomplete, StepFailed, ThreadNotFound
from jobs.models import JSON, JobRequest
from models.storages import Storages
from tests.endpoint import Endpoint
from tests.jobs.engine import fields
from tests.models.desk import TOOLBOX, USER, Desk, open_desk, settings_for
from tests.waiting import until
from toolkit.pool import HostPool

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_tool_job_gives_the_tools_value(desk: Desk) -> None:
    ctx = await desk.submit(task="echo", arguments={"text": "hi"})
    assert await desk.run(ctx) == "hi"
    assert list(await desk.finished(ctx)) == ["call:0"]


@pytest.mark.parametrize(
    ("task", "arguments", "code"),
    [
        ("refuse", {}, "tool_failed"),
        ("crash", {}, "tool_crashed"),
        ("echo", {"text": 1}, "tool_arguments_invalid"),
    ],
)
async def test_a_failing_tool_fails_its_job_with_a_sentence(
    desk: Desk, task: str, arguments: dict[str, object], code: str
) -> None:
    ctx = await desk.submit(task=task, arguments=arguments)
    with pytest.raises(StepFailed) as caught:
        await desk.run(ctx)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")


async def test_parts_and_model_calls_are_steps_below_their_call(desk: Desk, endpoint: Endpoint) -> None:
    ctx = await desk.submit(task="ask_about", arguments={"items": ["word=a tokens=1", "word=b tokens=1"]})
    assert await desk.run(ctx) == {"word=a tokens=1": "a0 ", "word=b tokens=1": "b0 "}
    started = [(fields(e)["step"], fields(e).get("parent")) for e in await desk.events(ctx, "step.started")]
    assert sorted((re.sub(r":[0-9a-f]{16}$", ":…", step), parent) for step, parent in started) == [
        ("call:0", None),
        ("call:0/part:0", "call:0"),
        ("call:0/part:0/complete:…", "call:0/part:0"),
        ("call:0/part:1", "call:0"),
        ("call:0/part:1/complete:…", "call:0/part:1"),
    ]
    assert not await desk.events(ctx, "text.delta")


async def test_finished_parts_do_not_run_again(desk: Desk, endpoint: Endpoint) -> None:
    items = ["word=a tokens=1", "word=b tokens=1", "word=c delay=30"]
    ctx = await desk.submit(task="ask_about", arguments={"items": items, "limit": 3})
    running = asyncio.create_task(desk.run(ctx))

    async def two_are_done() -> bool:
        finished = await desk.finished(ctx)
        return {"call:0/part:0", "call:0/part:1"} <= set(finished) and len(endpoint.requests()) == 3

    await until(two_are_done, within=30, what="two parts are recorded, the third runs")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    again = await desk.take()
    running = asyncio.create_task(desk.run(again))
    await until(lambda: len(endpoint.requests()) == 4, within=30, what="the third part asks again")
    assert [request.script for request in endpoint.requests()].count(items[2]) == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_failed_part_runs_again_on_retry_and_the_others_do_not(desk: Desk, endpoint: Endpoint) -> None:
    items = ["word=a tokens=1", "status=401 times=1 tokens=1"]
    ctx = await desk.submit(task="ask_about", arguments={"items": items, "limit": 1})
    with pytest.raises(StepFailed):
        await desk.run(ctx)
    await desk.store.retry(ctx.job.id, ctx.job.user)
    again = await desk.take()
    assert await desk.run(again) == {items[0]: "a0 ", items[1]: "w0 "}
    assert len(endpoint.requests("word=a")) == 1


async def test_only_so_many_model_calls_of_tools_run_at_a_time(
    endpoint: Endpoint, tmp_path: Path, pool: HostPool
) -> None:
    items = [f"word=x{i} tokens=4 rate=20" for i in range(10)]
    async with open_desk(tmp_path, settings_for(endpoint.url, complete_limit=4), pool) as desk:
        await desk.run(await desk.submit(task="ask_about", arguments={"items": items, "limit": 10}))
    spans = [(request.received_at, request.finished_at or 0) for request in endpoint.requests()]
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) <= 4


async def test_artifacts_are_stored_and_told(desk: Desk) -> None:
    ctx = await desk.submit(task="save", arguments={"name": "table.csv"})
    await desk.run(ctx)
    told = [dict(fields(event)) for event in await desk.events(ctx, "artifact")]
    assert told == [{"name": "table.csv", "mime": "text/csv", "size": 8, "step": "call:0"}]
    assert desk.files.artifact_path(ctx.job.root_id, "table.csv").read_text() == "a,b\n1,2\n"


async def test_an_incomplete_tool_is_gone_on_with_under_other_arguments(desk: Desk, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    arguments = {"path": str(trace), "to": 4}
    ctx = await desk.submit(task="count_up", arguments={**arguments, "budget": 2})
    with pytest.raises(JobIncomplete) as caught:
        await desk.run(ctx)
    assert (caught.value.reason, caught.value.result) == ("the budget of 2 is used up", {"counted": [0, 1]})
    await desk.store.retry(ctx.job.id, ctx.job.user, {**arguments, "budget": 10})
    assert await desk.run(await desk.take()) == [0, 1, 2, 3]
    assert trace.read_text().split() == ["0", "1", "2", "3"]


async def test_wrong_arguments_are_recorded_with_their_fields(desk: Desk) -> None:
    ctx = await desk.submit(task="echo", arguments={"text": 1})
    with pytest.raises(StepFailed) as caught:
        await desk.run(ctx)
    error = (await desk.finished(ctx))["call:0"]["error"]
    assert list(error["fields"]) == ["text"]
    assert caught.value.as_json().keys() == {"code", "message"}


async def test_a_tool_may_slow_its_model_calls_down(desk: Desk, endpoint: Endpoint) -> None:
    items = [f"word=x{i} tokens=1" for i in range(4)]
    ctx = await desk.submit(task="ask_at_a_rate", arguments={"items": items, "requests_per_minute": 600})
    await desk.run(ctx)
    times = sorted(request.received_at for request in endpoint.requests())
    assert times[-1] - times[0] >= 0.15  # 0.3 without the jitter of first connections; at once without the rate


async def test_what_a_tool_keeps_is_there_in_the_conversations_next_call_and_in_no_other(desk: Desk) -> None:
    for thread, said in (("t1", "one "), ("t1", "one two "), ("t2", "two ")):
        ctx = await desk.submit(task="remember", arguments={"word": said.split()[-1]}, thread_id=thread)
        assert await desk.run(ctx) == said


async def test_a_worker_that_lost_the_job_replaces_no_artifact(desk: Desk) -> None:
    lost = await desk.submit(task="save", arguments={"name": "table.csv"})
    await desk.take()
    with pytest.raises(EpochStale):
        await desk.run(lost)
    with pytest.raises(StoredFileNotFound):
        desk.files.artifact_path(lost.job.root_id, "table.csv")


async def test_a_cancelled_tool_job_ends_within_its_grace(desk: Desk) -> None:
    ctx = await desk.submit(task="wait_for_ever")
    running = asyncio.create_task(desk.run(ctx))
    await until(lambda: desk.events(ctx, "progress"), within=30, what="the tool runs")
    running.cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(running, return_exceptions=True)


async def test_a_thread_that_is_called_like_another_users_job_shows_nothing_of_it(desk: Desk, tmp_path: Path) -> None:
    hers = await desk.submit(task="remember", arguments={"word": "hers"})
    assert await desk.run(hers) == "hers "
    request = JobRequest(task="remember", user="bob", arguments={"word": "his"}, thread_id=hers.job.id)
    with pytest.raises(ThreadNotFound):
        await desk.store.submit(request)
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as database:  # begun with an earlier version
        database.execute(
            "INSERT INTO threads (id, owner, title, created_at, updated_at) VALUES (?, 'bob', '', 0, 0)", [hers.job.id]
        )
        database.commit()
    await desk.store.submit(request)
    assert await desk.run(await desk.take()) == "his "


async def test_records_are_those_of_the_conversation(desk: Desk) -> None:
    async def counted(**fields: Any) -> JSON:
        return await desk.run(await desk.submit(task="count_calls", **fields))

    assert await counted(thread_id="t1") == [1, ["count"]]
    assert await counted(thread_id="t1") == [2, ["count"]]
    assert await counted(thread_id="t2") == [1, ["count"]]
    assert await counted() == [1, ["count"]]


async def test_a_record_beyond_a_limit_is_a_sentence(desk: Desk) -> None:
    with pytest.raises(StepFailed, match=r"^A record's key is printable and has 1 to 200 characters: '' is none\.$"):
        await desk.run(await desk.submit(task="count_calls", arguments={"key": ""}))


async def test_what_a_tool_kept_with_the_first_version_is_there(desk: Desk) -> None:
    async def remembered(word: str) -> JSON:
        return await desk.run(await desk.submit(task="remember", arguments={"word": word}, thread_id="t1"))

    await remembered("first")
    kept = desk.files.storage(USER, "thread", "t1")
    kept.rename(kept.parent.parent / hashlib.sha256(b"t1").hexdigest()[:32])
    assert await remembered("second") == "first second "
    assert await remembered("third") == "first second third "


async def test_nobody_reads_what_a_call_writes_into_its_storage_after_its_job_was_taken_over(
    desk: Desk, tmp_path: Path
) -> None:
    go, done = tmp_path / "go", tmp_path / "done"
    zombie = await desk.submit(task="remember_late", arguments={"signals": str(tmp_path)}, thread_id="t1")
    lost = asyncio.create_task(desk.run(zombie))
    await until((tmp_path / "begun").exists, within=30, what="the first call has written")
    again = await desk.take()
    assert await desk.run(again) == "early "
    go.touch()
    await until(done.exists, within=30, what="the first call has written again")
    with pytest.raises(EpochStale):
        await lost
    next_turn = await desk.submit(task="remember", arguments={"word": "next"}, thread_id="t1")
    assert await desk.run(next_turn) == "early next "


async def test_calls_of_one_attempt_after_a_takeover_share_one_copy_of_the_storage(desk: Desk) -> None:
    await desk.run(await desk.submit(task="remember", arguments={"word": "first"}, thread_id="t1"))
    await desk.submit(task="remember", thread_id="t1", arguments={"word": "second"})
    again = await desk.take()
    storages = Storages(desk.files)
    await asyncio.gather(*(storages.take(again) for _ in range(4)))
    copy = storages.path(again)
    assert (copy / "words").read_text() == "first "
    assert list(copy.parent.iterdir()) == [copy]
    assert not desk.files.storage(USER, "thread", "t1").exists()


async def test_a_call_whose_job_is_taken_over_while_it_copies_the_storage_moves_nothing(desk: Desk) -> None:
    await desk.run(await desk.submit(task="remember", arguments={"word": "kept"}, thread_id="t1"))
    await desk.submit(task="remember", thread_id="t1", arguments={"word": "second"})
    slow = await desk.take()

    class TakenMeanwhile(DirectoryFileStore):
        async def copy_storage(self, owner: str, kind: StorageOf, id: str, name: str) -> StorageCopy:
            copy = await super().copy_storage(owner, kind, id, name)
            self.newer = await desk.take()
            return copy

    files = TakenMeanwhile(tmp := desk.files.storage(USER, "thread", "t1").parents[2])
    assert tmp.name == "files"
    with pytest.raises(EpochStale):
        await Storages(files).take(slow)
    assert await desk.run(files.newer) == "kept second "


async def test_a_call_whose_job_was_taken_over_gets_no_storage(desk: Desk) -> None:
    lost = await desk.submit(task="remember", thread_id="t1", arguments={"word": "a"})
    await desk.run(await desk.take())
    with pytest.raises(EpochStale):
        await Storages(desk.files).take(lost)


async def test_a_call_that_waits_for_a_process_says_so_and_then_that_it_goes_on(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    async with (
        HostPool([TOOLBOX], spare_hosts=0, process_limit=1) as pool,
        open_desk(tmp_path, settings_for(endpoint.url), pool) as desk,
    ):
        desk.alive = ["worker_1", "worker_2", "worker_3"]
        first, second, stopped = [
            await desk.submit(task="wait_for_file", arguments={"file": str(file)}) for _ in range(3)
        ]
        running = asyncio.create_task(desk.run(first))
        await until(lambda: desk.logs(first), within=30, what="the first has the place")
        waiting = [asyncio.create_task(desk.run(ctx)) for ctx in (second, stopped)]
        for ctx in (second, stopped):
            await until(lambda ctx=ctx: desk.events(ctx, "step.waiting"), within=30, what="it waits")  # type: ignore[misc]
        assert fields((await desk.events(second, "step.waiting"))[0]) == {"step": "call:0", "reason": "slot"}

        waiting[1].cancel()
        await asyncio.wait(waiting[1:])
        assert not running.done(), "the one that is stopped need not wait"
        file.touch()
        assert (await running, await waiting[0]) == ("found", "found")
        told = [event.type for event in await desk.events(second)]
        assert told[told.index("step.waiting") :] == [
            "step.waiting",
            "step.started",
            "log",
            "step.finished",
            "job.completed",
        ]


async def test_a_retry_with_a_larger_budget_pays_with_the_same_key_and_other_work_with_another(
    desk: Desk, tmp_path: Path
) -> None:
    bill = tmp_path / "bill"
    small = {"bill": str(bill), "what": "a book", "budget": 1}
    ctx = await desk.submit(task="pay", arguments=small)
    with pytest.raises(StepFailed):
        await desk.run(ctx)
    for changed in ({"budget": 2}, {"what": "a car"}, {"what": "a book", "budget": 20}):
        await desk.store.retry(ctx.job.id, USER, {**small, **changed})
        with contextlib.suppress(StepFailed):
            await desk.run(await desk.take())
    first, more, other, enough = bill.read_text().split()
    assert first == more == enough != other
    assert first.startswith(f"{ctx.job.root_id}/call:0/")
