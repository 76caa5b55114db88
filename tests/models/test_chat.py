"""The chat turn over a real store, real tool hosts and real HTTP."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from jobs.context import Step
from jobs.errors import JobFailed, JobIncomplete, StepFailed
from jobs.events import JobCancelled, JobEvent
from jobs.models import JSON
from jobs.transcript import Transcript
from models.replies import ModelReply, ToolCall
from tests.endpoint import Endpoint
from tests.jobs.engine import fields
from tests.models.desk import Desk
from tests.waiting import until
from toolkit.agent_context import MAX_ROUNDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHOLE = "".join(f"w{number} " for number in range(9))


async def has(list_of: Callable[[], Awaitable[Sequence[object]]], count: int) -> bool:
    return len(await list_of()) >= count


def call(name: str, **arguments: Any) -> str:
    return f"call {name} {json.dumps(arguments)}"


def answering(output: JSON) -> Callable[[Step], Awaitable[JSON]]:
    """A step that has this output."""

    async def run(step: Step) -> JSON:
        return output

    return run


async def test_the_result_is_the_text_that_was_streamed(desk: Desk) -> None:
    assert await desk.answer("tokens=5") == "w0 w1 w2 w3 w4 "


async def test_words_are_written_as_they_come(desk: Desk, endpoint: Endpoint) -> None:
    ctx = await desk.submit("tokens=40 rate=20")
    running = asyncio.create_task(desk.run(ctx))
    await until(lambda: desk.events(ctx, "text.delta"), within=30, what="the first words")
    assert endpoint.requests()[0].finished_at is None
    await running


async def test_the_text_before_tool_calls_stays_part_of_the_answer(desk: Desk) -> None:
    text = await desk.answer(f"say=2 tokens=1 {call('echo', text='hi')}")
    assert text == "s0 s1 \n\nThe tool answered: hi w0 "


async def test_a_step_without_text_adds_no_blank_lines(desk: Desk) -> None:
    assert await desk.answer(f"tokens=1 {call('echo', text='hi')}") == "The tool answered: hi w0 "


async def test_parallel_calls_are_steps_of_their_own_and_answered_in_order(desk: Desk, endpoint: Endpoint) -> None:
    ctx = await desk.submit(f"tokens=1 {call('echo', text='one')} & {call('echo', text='two')}")
    await desk.run(ctx)
    finished = await desk.finished(ctx)
    assert finished["model:1/call:0"]["output"] == {"content": "one"}
    assert finished["model:1/call:1"]["output"] == {"content": "two"}
    said = [(m["tool_call_id"], m["content"]) for m in endpoint.requests()[1].messages if m["role"] == "tool"]
    assert said == [("call_1_0", "one"), ("call_1_1", "two")]


async def test_repeated_ids_of_an_endpoint_are_told_apart(desk: Desk, endpoint: Endpoint) -> None:
    script = f"same_ids=1 tokens=1 {call('echo', text='one')} {call('echo', text='two')}"
    assert await desk.answer(script) == "The tool answered: two w0 "
    told = [m["tool_call_id"] for m in endpoint.requests()[2].messages if m["role"] == "tool"]
    assert told == ["call_1_0", "call_2_0"]


async def test_a_tool_call_is_recorded_with_its_arguments_and_parent(desk: Desk) -> None:
    ctx = await desk.submit(f"tokens=1 {call('echo', text='hi')}")
    await desk.run(ctx)
    started = {fields(event)["step"]: fields(event) for event in await desk.events(ctx, "step.started")}
    assert started["model:1/call:0"]["input"] == {"text": "hi"}
    assert started["model:1/call:0"]["parent"] == "model:1"
    assert "parent" not in started["model:1"]


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (call("refuse"), "The moon is not full."),
        (call("crash"), "ended its process (exit code 3)"),
        (call("unheard_of"), "There is no tool 'unheard_of'."),
        (call("echo", words=1), "'text' is missing"),
    ],
)
async def test_a_failing_tool_is_told_to_the_model_and_fails_no_turn(desk: Desk, script: str, sentence: str) -> None:
    ctx = await desk.submit(f"tokens=1 {script}")
    result = await desk.run(ctx)
    assert sentence in result["text"]
    assert sentence in (await desk.finished(ctx))["model:1/call:0"]["output"]["error"]


async def test_arguments_that_are_no_json_are_told_to_the_model(desk: Desk) -> None:
    broken = ToolCall(id="call_1_0", name="echo", arguments=None)
    reply = ModelReply(text="", calls=(broken,), finish_reason="tool_calls")
    ctx = await desk.submit("tokens=1 word=z")
    await ctx.step("model:1", answering(reply.as_json()), name="test-model", kind="model")
    await desk.run(ctx)
    output = (await desk.finished(ctx))["model:1/call:0"]["output"]
    assert output["error"] == "The arguments for 'echo' were not a JSON object; send one that fits its parameters."


async def test_the_tools_are_offered_with_their_schemas(desk: Desk, endpoint: Endpoint) -> None:
    await desk.answer("tokens=1")
    offered = {tool["function"]["name"]: tool["function"] for tool in endpoint.requests()[0].body["tools"]}
    assert offered["echo"]["parameters"]["required"] == ["text"]
    assert offered["echo"]["description"].startswith("Give the text back.")


async def test_usage_is_the_sum_of_all_calls(desk: Desk) -> None:
    ctx = await desk.submit(f"say=2 tokens=3 {call('ask_about', items=['word=x'])}")
    await desk.run(ctx)
    outputs = [data["output"] for data in (await desk.finished(ctx)).values()]
    used = [output["usage"]["output_tokens"] for output in outputs if "tool_calls" in output]
    assert len(used) == 3
    assert ctx.usage is not None
    assert ctx.usage["output_tokens"] == sum(used)


async def test_a_turn_goes_on_behind_its_last_finished_step(desk: Desk, endpoint: Endpoint, tmp_path: Path) -> None:
    trace = str(tmp_path / "trace")
    first, second = call("note", path=trace, line="one"), call("wait_for_ever")
    ctx = await desk.submit(f"say=2 tokens=1 {first} & {second}")
    running = asyncio.create_task(desk.run(ctx))

    async def first_call_is_recorded() -> bool:
        return "model:1/call:0" in await desk.finished(ctx) and bool(await desk.events(ctx, "progress"))

    await until(first_call_is_recorded, within=30, what="the first call is recorded, the second runs")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    again = await desk.take()
    assert again.job.id == ctx.job.id
    running = asyncio.create_task(desk.run(again))

    async def second_call_runs_again() -> bool:
        started = [fields(e) for e in await desk.events(again, "step.started") if fields(e)["step"] == "model:1/call:1"]
        return [data["attempt"] for data in started] == [1, 2]

    await until(second_call_runs_again, within=30, what="the unfinished call runs again")
    assert len(endpoint.requests()) == 1
    assert again.usage is not None
    assert again.usage["output_tokens"] == 2
    [line] = Path(trace).read_text().splitlines()
    assert line.startswith(f"one {ctx.job.root_id}/model:1/call:0/"), "the key of the first call, once"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_recorded_turn_gives_the_same_answer_without_a_model_call(desk: Desk, endpoint: Endpoint) -> None:
    ctx = await desk.submit(f"say=2 tokens=2 {call('echo', text='hi')} {call('ask_about', items=['word=x'])}")
    result = await desk.tasks["chat"](ctx)
    requests = len(endpoint.requests())
    again = await desk.take()
    assert await desk.tasks["chat"](again) == result
    assert again.usage == ctx.usage
    assert len(endpoint.requests()) == requests


async def test_an_interrupted_model_call_is_made_again_and_its_text_withdrawn(desk: Desk) -> None:
    ctx = await desk.submit("tokens=8 rate=20")
    running = asyncio.create_task(desk.run(ctx))
    await until(lambda: desk.events(ctx, "text.delta"), within=30, what="the first words")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    again = await desk.take()
    result = await desk.run(again)
    assert result["text"] == "w0 w1 w2 w3 w4 w5 w6 w7 "


@pytest.mark.parametrize("script", ["tokens=500 rate=20", "delay=30"])
async def test_a_cancelled_turn_closes_the_upstream_stream(desk: Desk, endpoint: Endpoint, script: str) -> None:
    ctx = await desk.submit(script)
    running = asyncio.create_task(desk.run(ctx))
    request = (await until(endpoint.requests, within=30, what="the request"))[0]
    await until(lambda: request.tokens_sent > 2 or "tokens" not in script, within=30, what="the stream is under way")
    begin = ctx.cancelled_at = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: request.disconnected_at, within=30, what="the stream is closed")
    assert request.disconnected_at is not None
    assert request.disconnected_at - begin < 10
    assert [stopped["step"] for stopped in ctx.stopped] == ["model:1"]


async def test_a_failed_model_call_fails_the_job_with_its_sentence(desk: Desk) -> None:
    ctx = await desk.submit("tokens=20 cut=3 rate=50")
    with pytest.raises(StepFailed) as caught:
        await desk.run(ctx)
    assert caught.value.code == "model_truncated"
    assert (await desk.finished(ctx))["model:1"]["error"]["code"] == "model_truncated"


async def test_a_wait_for_the_endpoint_is_told_in_the_log(desk: Desk) -> None:
    ctx = await desk.submit("status=429 retry_after=0 times=1 tokens=1")
    await desk.run(ctx)
    assert await desk.logs(ctx) == ["warning: The model endpoint takes no more requests for now. Trying again."]


async def test_a_patient_turn_waits_longer_says_so_and_counts_over_takeovers(desk: Desk) -> None:
    ctx = await desk.submit("status=429 retry_after=0 times=3 tokens=1", patience_seconds=1_000)
    running = asyncio.create_task(desk.run(ctx))

    async def waits() -> list[JobEvent]:
        return [event for event in await desk.events(ctx) if event.type == "step.waiting"]

    await until(lambda: has(waits, 1), within=30, what="a wait")
    running.cancel()
    await asyncio.wait({running})
    again = await desk.take()
    assert (await desk.run(again)) == {"text": "w0 "}
    told = await waits()
    assert [fields(event)["reason"] for event in told] == ["rate_limited"] * len(told)
    assert len(told) >= 2  # the death may come between an answer and its event
    assert again.waits("model:1") == len(told)


async def test_an_answer_that_breaks_off_is_asked_for_again_and_withdrawn_if_it_can_be(desk: Desk) -> None:
    ctx = await desk.submit("tokens=9 cut=3 rate=100 times=2", patience_seconds=0)
    assert await desk.run(ctx) == {"text": WHOLE}
    assert Transcript.of(await desk.events(ctx)).answer == WHOLE


async def test_an_answer_that_always_breaks_off_fails_after_three_more_tries(desk: Desk, endpoint: Endpoint) -> None:
    ctx = await desk.submit("tokens=9 cut=3 rate=100", patience_seconds=0)
    with pytest.raises(StepFailed):
        await desk.run(ctx)
    assert len(endpoint.requests()) == 4


async def test_a_failing_model_call_of_a_tool_fails_the_job(desk: Desk) -> None:
    hidden = r'call ask_about {"items": ["status\u003d401"]}'  # a script for the tool's call alone
    ctx = await desk.submit(f"tokens=1 {hidden}")
    with pytest.raises(StepFailed) as caught:
        await desk.run(ctx)
    assert caught.value.code == "model_auth"


async def test_an_answer_at_the_models_limit_is_incomplete_and_kept(desk: Desk) -> None:
    ctx = await desk.submit("tokens=3 finish=length")
    with pytest.raises(JobIncomplete) as caught:
        await desk.run(ctx)
    assert (caught.value.reason, caught.value.result) == ("length", {"text": "w0 w1 w2 "})


async def test_a_model_that_calls_tools_for_ever_is_stopped(desk: Desk) -> None:
    ctx = await desk.submit(" ".join([call("echo", text="again")] * (MAX_ROUNDS + 1)))
    with pytest.raises(JobFailed) as caught:
        await desk.run(ctx)
    assert caught.value.code == "agent_failed"


async def test_the_model_hears_the_earlier_turns_of_the_thread(desk: Desk, endpoint: Endpoint) -> None:
    await desk.answer(f"say=1 tokens=1 {call('echo', text='hi')}", thread_id="t1")
    await desk.answer("tokens=2 word=z", thread_id="t1")
    told = [(m["role"], m["content"]) for m in endpoint.requests("word=z")[0].messages[1:]]
    assert [role for role, _ in told] == ["user", "assistant", "tool", "assistant", "user"]
    assert told[2][1] == "hi"
    assert told[3][1] == "The tool answered: hi w0 "


async def test_the_model_hears_that_an_earlier_turn_was_stopped(desk: Desk, endpoint: Endpoint) -> None:
    ctx = await desk.submit("tokens=1", thread_id="t1")
    await ctx.emit(JobCancelled(stopped=[]))
    await desk.answer("tokens=2 word=z", thread_id="t1")
    told = endpoint.requests("word=z")[0].messages[1:]
    assert told[1] == {"role": "assistant", "content": "(The user stopped this answer before it was finished.)"}


async def test_the_model_hears_of_tools_the_user_ran(desk: Desk, endpoint: Endpoint) -> None:
    ctx = await desk.submit(task="echo", arguments={"text": "hello"}, thread_id="t1")
    await desk.run(ctx)
    await desk.answer("tokens=2 word=z", thread_id="t1")
    told = endpoint.requests("word=z")[0].messages[1:]
    assert [message["content"] for message in told[:2]] == [
        '(I ran the tool echo with {"text": "hello"}.)',
        "(It returned:)\nhello",
    ]


async def test_attached_files_are_listed_for_the_model_and_open_to_tools(desk: Desk, endpoint: Endpoint) -> None:
    file = await desk.upload("plan.txt", "Walk slowly.")
    await desk.answer("tokens=1", files=(file.id,), thread_id="t1")
    assert f"- {file.id}: plan.txt (text/plain, 12 bytes)" in endpoint.requests()[0].messages[1]["content"]
    text = await desk.answer(f"tokens=1 word=z {call('read', document=file.id)}", thread_id="t1")
    assert text.startswith("The tool answered: Walk slowly. (of plan.txt)")


async def test_a_foreign_file_is_no_file(desk: Desk) -> None:
    file = await desk.upload("secret.txt", "Mine.", owner="bob")
    text = await desk.answer(f"tokens=1 {call('read', document=file.id)}")
    assert f"There is no file '{file.id}'." in text


async def test_callers_without_a_thread_bring_their_history(desk: Desk, endpoint: Endpoint) -> None:
    earlier = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}]
    await desk.answer("tokens=1", arguments={"messages": earlier})
    assert endpoint.requests()[0].messages[1:3] == earlier


async def test_a_models_call_may_visit_what_the_user_named_in_the_thread_and_nothing_else(desk: Desk) -> None:
    file = await desk.upload("evil.example.txt", "https://evil.example/in-a-file")
    await desk.answer(f"tokens=1 https://said.example/x {call('sites')}", thread_id="thread_1", files=(file.id,))
    await desk.run(
        await desk.submit(task="sites", arguments={"place": "http://Run.example:8080"}, thread_id="thread_1")
    )
    await desk.answer("tokens=1 https://elsewhere.example", thread_id="thread_2")
    ctx = await desk.submit(f"tokens=1 asked.example {call('sites')}", thread_id="thread_1")
    await desk.run(ctx)
    output = (await desk.finished(ctx))["model:1/call:0"]["output"]
    assert json.loads(output["content"])["named"] == ["said.example", "run.example:8080", "asked.example"]


async def test_what_a_caller_brings_along_names_sites_by_the_users_messages_alone(desk: Desk) -> None:
    said = {role: f"https://{role}.example" for role in ("system", "user", "assistant")}
    messages = [{"role": role, "content": text} for role, text in said.items()]
    ctx = await desk.submit(f"tokens=1 {call('sites')}", arguments={"messages": messages})
    await desk.run(ctx)
    output = (await desk.finished(ctx))["model:1/call:0"]["output"]
    assert json.loads(output["content"])["named"] == ["user.example"]


async def test_a_persons_own_call_may_visit_every_site(desk: Desk) -> None:
    assert (await desk.run(await desk.submit(task="sites")))["named"] is None
