"""Agents over a real store, real hosts and real HTTP: what they may do, and what is left when something dies."""

import asyncio
import json
import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.context import JobContext
from jobs.errors import JobFailed, JobIncomplete
from jobs.transcript import Transcript
from models.tasks import build_tasks
from tests.conftest import examples
from tests.endpoint import Endpoint
from tests.jobs.engine import fields
from tests.models.desk import AGENTS, Desk, open_desk, settings_for
from tests.waiting import until
from toolkit.pool import HostPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWERING = Path(__file__).parent / "answering"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents() -> AsyncIterator[HostPool]:
    async with HostPool([AGENTS, ANSWERING], kind="agent", spare_hosts=0) as pool:
        assert pool.problems == ()
        yield pool


async def ask(desk: Desk, agent: str, input: str = "Hi", **arguments: Any) -> JobContext:
    return await desk.submit(input, task=agent, agent=True, arguments=arguments)


async def answer(desk: Desk, agent: str, input: str = "Hi", **arguments: Any) -> str:
    ctx = await ask(desk, agent, input, **arguments)
    result = await desk.run(ctx)
    assert result["text"] == Transcript.of(await desk.events(ctx)).answer
    text: str = result["text"]
    return text


# -- what an agent may be


async def test_a_generator_s_pieces_are_the_answer(desk: Desk) -> None:
    assert await answer(desk, "shout", "hello there") == "HELLO THERE "


async def test_a_def_runs_in_a_thread_and_its_string_is_the_answer(desk: Desk) -> None:
    assert await answer(desk, "blocking", seconds=0.01) == "slept, Hi"
    assert await answer(desk, "lines") == "[w0 w1]"


async def test_a_hidden_answer_streams_nothing_and_joins_the_conversation(desk: Desk) -> None:
    ctx = await ask(desk, "editor", "tokens=3")
    assert await desk.run(ctx) == {"text": "Published: w0 w1 w2 "}
    assert {fields(event)["step"] for event in await desk.events(ctx, "text.delta")} == {"text:3"}


async def test_an_agent_is_offered_its_own_tools_and_reads_its_settings(desk: Desk, endpoint: Endpoint) -> None:
    text = await answer(desk, "support", 'tokens=1 call echo {"text": "hi"}', tone="full")
    assert text == "The tool answered: hi w0 "
    asked = endpoint.requests()[0]
    assert [tool["function"]["name"] for tool in asked.body["tools"]] == ["echo"]
    assert asked.messages[0] == {"role": "system", "content": "Be full."}


async def test_a_conversation_that_the_agent_keeps_returns_the_models_reasoning_too(
    desk: Desk, endpoint: Endpoint
) -> None:
    text = await answer(desk, "composing", 'tokens=1 think=3 think_back=1 call echo {"text": "hi"}')
    assert text.endswith("w0 ")
    assert endpoint.requests()[-1].messages[1]["reasoning_content"] == "t0 t1 t2 "


async def test_an_agent_calls_an_agent_as_a_step(desk: Desk) -> None:
    ctx = await ask(desk, "delegating", "one two")
    assert await desk.run(ctx) == {"text": "It said: ONE TWO "}
    assert (await desk.finished(ctx))["call:1"]["output"] == {"content": "ONE TWO "}


async def test_agents_that_call_each_other_without_end_fail_with_a_sentence(desk: Desk) -> None:
    with pytest.raises(JobFailed, match="call each other without end"):
        await desk.run(await ask(desk, "endless"))


async def test_an_agent_reads_the_conversation_with_what_it_ran(desk: Desk) -> None:
    ctx = await ask(desk, "told", "What is new?")
    known = json.loads((await desk.run(ctx))["text"])
    assert [role for role, _ in known["said"]] == ["user", "assistant", "tool"]
    assert known["said"][2][1] == "found"
    assert (known["text"], known["now"]) == ("What is new?", pytest.approx(ctx.job.created_at))
    assert "echo" in known["tools"]


async def test_plan_progress_source_log_and_file_are_the_job_s(desk: Desk) -> None:
    ctx = await ask(desk, "reporting")
    await desk.run(ctx)
    types = [event.type for event in await desk.events(ctx)]
    assert {"plan", "progress", "source", "log", "artifact"} <= set(types)


# -- failures


async def test_an_agent_s_own_error_fails_the_job_and_its_text_stays(desk: Desk) -> None:
    ctx = await ask(desk, "failing")
    with pytest.raises(JobFailed, match=r"The desk is closed today\.") as caught:
        await desk.run(ctx)
    assert caught.value.code == "agent_failed"
    assert Transcript.of(await desk.events(ctx)).answer == "so far"


async def test_an_agent_that_forgets_to_await_the_model_fails_with_a_sentence(desk: Desk) -> None:
    with pytest.raises(JobFailed, match=r"^`respond` never ran: write `await ctx\.respond\(…\)`$"):
        await answer(desk, "forgetful", "hello")


async def test_an_agent_that_ends_its_process_fails_alone(desk: Desk) -> None:
    desk.alive = ["worker_1", "worker_2"]
    other = asyncio.create_task(answer(desk, "support", "tokens=40 rate=40"))
    with pytest.raises(JobFailed, match="ended its process") as caught:
        await desk.run(await ask(desk, "crashing"))
    assert caught.value.code == "agent_crashed"
    assert await other == "".join(f"w{number} " for number in range(40))


async def test_a_model_that_an_agent_gives_up_is_closed_and_does_not_count(desk: Desk, endpoint: Endpoint) -> None:
    assert await answer(desk, "waiting") == "Too slow. \n\nw0 "
    await until(lambda: endpoint.requests()[0].disconnected_at, within=30, what="the first stream is closed")


async def test_an_answer_without_end_is_cut_off(
    tmp_path: Path, endpoint: Endpoint, pool: HostPool, agents: HostPool
) -> None:
    short = settings_for(endpoint.url, max_answer_bytes=1_000)
    async with open_desk(tmp_path, short, pool, agents) as desk:
        ctx = await ask(desk, "talking")
        with pytest.raises(JobIncomplete) as caught:
            await desk.run(ctx)
        assert (caught.value.reason, len(caught.value.result["text"])) == ("too_long", 1_000)


async def test_parameters_of_an_agent_reach_its_model(desk: Desk, endpoint: Endpoint) -> None:
    await desk.run(await ask(desk, "precise", "tokens=1"))
    [asked] = endpoint.requests()
    wanted = {"temperature": 0, "response_format": {"type": "json_object"}, "stop": ["END"], "seed": 3}
    assert {name: asked.body[name] for name in wanted} == wanted


# -- deaths


async def test_a_model_goes_on_while_its_agent_s_host_dies(desk: Desk, agents: HostPool, endpoint: Endpoint) -> None:
    ctx = await ask(desk, "support", "tokens=60 rate=60")
    running = asyncio.create_task(desk.run(ctx))
    await until(lambda: desk.events(ctx, "text.delta"), within=30, what="the first words")
    for pid in agents.host_pids:
        os.kill(pid, signal.SIGKILL)
    assert (await running)["text"] == "".join(f"w{number} " for number in range(60))
    assert len(endpoint.requests()) == 1
    assert len(await desk.events(ctx, "step.started")) == 1


async def test_a_text_is_whole_although_its_agent_s_host_dies_in_the_middle_of_it(desk: Desk, tmp_path: Path) -> None:
    ctx = await ask(desk, "dying", folder=str(tmp_path))
    running = asyncio.create_task(desk.run(ctx))
    await until(lambda: desk.events(ctx, "text.delta"), within=30, what="the text has begun")
    (tmp_path / "written").touch()
    assert await running == {"text": "one two "}
    assert Transcript.of(await desk.events(ctx)).answer == "one two "
    assert (tmp_path / "died").exists()


async def test_a_text_in_the_middle_of_which_an_agent_failed_is_whole_in_the_retry(desk: Desk, tmp_path: Path) -> None:
    ctx = await ask(desk, "stumbling", folder=str(tmp_path))
    with pytest.raises(JobFailed, match="went wrong"):
        await desk.run(ctx)
    assert Transcript.of(await desk.events(ctx)).answer == "one "
    await desk.store.retry(ctx.job.id, ctx.job.user)
    again = await desk.take()
    assert await desk.run(again) == {"text": "one two "}
    assert Transcript.of(await desk.events(again)).answer == "one two "


@pytest.mark.parametrize(("version", "outcome"), [("2", "warning"), ("3", "failure")])
async def test_code_that_has_changed_is_told(desk: Desk, tmp_path: Path, version: str, outcome: str) -> None:
    (tmp_path / "version").write_text("1")
    ctx = await ask(desk, "changed", folder=str(tmp_path))
    running = asyncio.create_task(desk.run(ctx))
    await until(lambda: desk.finished(ctx), within=30, what="the first checkpoint")
    running.cancel()
    await asyncio.wait({running})
    (tmp_path / "version").write_text(version)
    again = await desk.take()
    if outcome == "warning":
        await desk.run(again)
        assert [line for line in await desk.logs(ctx) if line.startswith("warning: The prompt has changed")]
    else:
        with pytest.raises(
            JobFailed, match=r"its checkpoint 1 was a model call, and is a call of 'echo' now"
        ) as caught:
            await desk.run(again)
        assert caught.value.code == "agent_changed"


PROGRAMS = st.lists(
    st.tuples(st.sampled_from(["write", "generate", "hidden", "step", "call", "map", "die"]), st.integers(1, 6)),
    min_size=1,
    max_size=6,
).filter(lambda program: sum(operation == "die" for operation, _ in program) < 2)
"""An agent that ends its process twice is to blame for it, and fails."""


async def test_whatever_an_agent_does_and_whenever_its_worker_dies_the_text_is_exact(desk: Desk) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=max(4, examples(share=0.2)))
    @given(PROGRAMS, st.integers(0, 2**32))
    def holds(program: list[tuple[str, int]], seed: int) -> None:
        asyncio.run_coroutine_threadsafe(_holds(desk, program, seed), loop).result(120)

    await asyncio.to_thread(holds)


async def _holds(desk: Desk, program: list[tuple[str, int]], seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        ctx = await ask(desk, "programmed", json.dumps(program), folder=folder)
        result = None
        for _ in range(20):
            running = asyncio.create_task(desk.run(ctx))
            await asyncio.wait({running}, timeout=None if chance.random() < 0.3 else chance.uniform(0.0, 0.3))
            if running.done():
                result = running.result()
                break
            running.cancel()
            await asyncio.wait({running})
            if ended := await desk.events(ctx, "job.completed"):  # just before the death
                result = fields(ended[0])["result"]
                break
            ctx = await desk.take()
        else:
            result = await desk.run(ctx)
        events = await desk.events(ctx)
        finished = Counter(fields(event)["step"] for event in events if event.type == "step.finished")
        assert set(finished.values()) <= {1}, finished
        assert result == {"text": expected(program)}
        assert Transcript.of(events).answer == expected(program)
        for number, (operation, _) in enumerate(program):
            if operation == "step":
                assert (Path(folder) / f"{number}.txt").read_text()


def words(count: int) -> str:
    return "".join(f"w{number} " for number in range(count))


def expected(program: list[tuple[str, int]]) -> str:
    """The text of a run that nothing disturbs."""
    text, of_model = "", False
    for number, (operation, argument) in enumerate(program):
        if operation == "generate":
            text += ("\n\n" if text else "") + words(argument)
            of_model = True
            continue
        said = {
            "write": "".join(f"t{number}.{word} " for word in range(argument)),
            "hidden": f"<{words(argument).strip()}>",
            "step": f"({argument})",
            "call": f"e{argument}",
            "map": "|".join(words(item + 1) for item in range(argument)),
            "die": "",
        }[operation]
        if said:
            text += ("\n\n" if of_model else "") + said
            of_model = False
    return text


# -- names


async def test_a_name_that_means_two_things_is_refused(desk: Desk, agents: HostPool, tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(
        'from toolkit import AgentContext, agent\n\n@agent\nasync def echo(ctx: AgentContext) -> None:\n    """Hi."""\n'
    )
    async with HostPool([tmp_path], kind="agent", spare_hosts=0) as clashing:
        with pytest.raises(ValueError, match="'echo' is the name of an agent and of a tool"):
            build_tasks(desk.models, desk.pool, clashing, desk.files)
