"""`toolkit.testing`: tools and agents run in a test, and a crash proves their checkpoints."""

import itertools
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from toolkit import (
    AgentContext,
    AsyncToolContext,
    Call,
    Reply,
    SyncAgentContext,
    ToolArgumentsInvalid,
    ToolContext,
    ToolError,
    UploadedFile,
    agent,
    testing,
    tool,
)

pytest_plugins = ["toolkit.testing.fixtures"]


@tool
def read(ctx: ToolContext, file: UploadedFile, words: int = 2) -> dict[str, object]:
    """Read a file."""
    ctx.plan(["Read", "Save"])
    text = ctx.step("load", lambda: file.path.read_text())
    ctx.report_progress(1, 2, "Loaded")
    ctx.log("warning", "short")
    ctx.source("The file", file=file, page=1)
    lengths = ctx.map(text.split()[:words], len, name="word")
    ctx.save_artifact("copy.txt", text.encode())
    ctx.records.put("read", text)
    (ctx.storage / "kept.txt").write_text(text)
    return {"lengths": lengths, "files": [one.name for one in ctx.files]}


@tool
async def summarize(ctx: AsyncToolContext, texts: list[str]) -> str:
    """Summarize texts."""

    async def one(text: str) -> str:
        return await ctx.complete("Summarize.", text)

    return " ".join(await ctx.map(texts, one))


async def test_a_tool_returns_its_value_and_shows_what_it_told() -> None:
    run = await testing.run(read, "a.txt", words=2, files={"a.txt": b"one three"})
    assert run.value == {"lengths": [3, 5], "files": ["a.txt"]}
    assert (run.progress, run.logs) == ([(1, 2, "Loaded")], [("warning", "short")])
    assert (run.artifacts, run.records) == ({"copy.txt": b"one three"}, {"read": "one three"})
    assert run.plan == [("Read", "active"), ("Save", "pending")]
    assert run.sources == [testing.Source(title="The file", file="a.txt", page=1)]
    assert (run.steps[0], sorted(run.steps[1:]), run.checkpoints) == ("load", ["word 1 of 2", "word 2 of 2"], 3)


async def test_a_path_among_the_arguments_is_an_uploaded_file(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("four")
    run = await testing.run(read, tmp_path / "b.txt")
    assert run.value == {"lengths": [4], "files": ["b.txt"]}


async def test_arguments_are_checked_as_in_production() -> None:
    with pytest.raises(ToolArgumentsInvalid, match="words"):
        await testing.run(read, "a.txt", words="many", files={"a.txt": b""})
    with pytest.raises(ToolError, match=r"There is no file 'other\.txt'"):
        await testing.run(read, "other.txt", files={"a.txt": b""})


async def test_the_model_answers_from_the_script() -> None:
    run = await testing.run(summarize, ["a", "b"], model=lambda prompt: prompt.text.upper())
    assert (run.value, run.model_calls) == ("A B", 2)
    assert {prompt.system for prompt in run.prompts} == {"Summarize."}
    assert (await testing.run(summarize, ["a"], model=["short"])).value == "short"


async def test_a_script_that_is_too_short_fails_the_test_whatever_the_tool_catches() -> None:
    @tool
    async def careless(ctx: AsyncToolContext) -> str:
        """Catches everything."""
        try:
            return await ctx.complete("Say something.", "Now")
        except Exception:  # noqa: BLE001 - as careless tools do
            return "nothing"

    with pytest.raises(AssertionError, match=r"asked 1 times, and the test has 0 answers .* 'Now'"):
        await testing.run(careless)


async def test_a_model_that_fails_is_a_tool_error() -> None:
    with pytest.raises(ToolError, match="The model is busy"):
        await testing.run(summarize, ["a"], model=[ToolError("The model is busy.")])


async def test_a_value_that_is_not_json_is_refused_as_in_production() -> None:
    @tool
    def bad() -> object:
        """Returns an object."""
        return object()

    with pytest.raises(ToolError, match="The result of the tool bad is not JSON: it contains a object"):
        await testing.run(bad)


# -- crashes


async def test_what_was_finished_is_not_done_again_after_a_crash() -> None:
    ran: list[str] = []

    @tool
    def three(ctx: ToolContext) -> list[str]:
        """Three steps."""

        def do(name: str) -> str:
            ran.append(name)
            return name

        return [ctx.step(name, partial(do, name)) for name in ("a", "b", "c")]

    run = await testing.run(three, crash_after=2)
    assert (run.value, run.steps, ran) == (["a", "b", "c"], ["c"], ["a", "b", "c"])


@pytest.mark.parametrize("crash_after", [1, 2, 3])
async def test_the_model_is_not_asked_again_after_a_crash(crash_after: int) -> None:
    run = await testing.run(summarize, ["a", "b"], model=lambda prompt: prompt.text.upper(), crash_after=crash_after)
    assert (run.value, run.model_calls) == ("A B", 2)


async def test_a_step_whose_name_differs_each_time_is_found() -> None:
    @tool
    def timed(ctx: ToolContext) -> int:
        """Names its step by the clock."""
        return ctx.step(f"at {time.monotonic_ns()}", lambda: 1)

    with pytest.raises(AssertionError, match=r"the step 'at \d+' was finished, and not read back after the crash"):
        await testing.run(timed, crash_after=1)


async def test_a_result_that_grows_inside_of_steps_is_found() -> None:
    @tool
    def count(ctx: ToolContext) -> int:
        """Counts beside its steps."""
        found: list[str] = []
        for name in ("a", "b"):
            ctx.step(name, partial(found.append, name))
        return len(found)

    with pytest.raises(AssertionError, match="with everything recorded, the result is 0, and was 1"):
        await testing.run(count, crash_after=1)
    with pytest.raises(AssertionError, match="the result is 0, and was 1"):
        await testing.crash_everywhere(count)


async def test_a_result_of_chance_is_found() -> None:
    numbers = itertools.count()

    @tool
    async def lucky(ctx: AsyncToolContext) -> int:
        """Draws beside its steps."""

        async def nothing() -> None: ...

        await ctx.step("nothing", nothing)
        return next(numbers)

    with pytest.raises(AssertionError, match="the result is 1, and was 0"):
        await testing.run(lucky, crash_after=1)


async def test_a_crash_that_never_comes_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="crash_after=9: the run has 3 checkpoints"):
        await testing.run(read, "a.txt", files={"a.txt": b"one two"}, crash_after=9)


async def test_a_crash_behind_each_checkpoint_changes_nothing() -> None:
    runs = await testing.crash_everywhere(read, "a.txt", files={"a.txt": b"one two"})
    assert [run.value for run in runs] == [runs[0].value] * 4


# -- agents


@agent(tools=["search"])
async def support(ctx: AgentContext, tone: Literal["brief", "full"] = "brief") -> None:
    """Answers questions."""
    while (reply := await ctx.generate(f"Be {tone}.")).calls:
        await ctx.run(reply.calls)


ASK = Call("search", query="Hi")


async def test_an_agent_answers_with_fake_tools() -> None:
    run = await testing.run(
        support, "Hi", tone="full", model=[["Wait.", ASK], "Hello."], tools={"search": lambda query: [query], "x": int}
    )
    assert (run.text, run.model_calls, run.value) == ("Wait.\n\nHello.", 2, None)
    first, second = run.prompts
    assert (first.system, first.messages, first.tools) == (
        "Be full.",
        [{"role": "user", "content": "Hi"}],
        ("search",),
    )
    said, result = second.messages[1:]
    assert said["tool_calls"][0]["function"] == {"name": "search", "arguments": '{"query": "Hi"}'}
    assert (result["role"], result["content"]) == ("tool", '["Hi"]')
    assert result["tool_call_id"] == said["tool_calls"][0]["id"]


@pytest.mark.parametrize("crash_after", [1, 2, 3])
async def test_an_agent_does_nothing_twice_after_a_crash(crash_after: int) -> None:
    searched: list[str] = []

    def search(query: str) -> None:
        searched.append(query)

    run = await testing.run(support, "Hi", model=[ASK, "Hello."], tools={"search": search}, crash_after=crash_after)
    assert (run.text, run.model_calls, searched) == ("Hello.", 2, ["Hi"])


async def test_a_tool_that_fails_is_what_the_model_reads() -> None:
    def search(query: str) -> str:
        raise ToolError(f"Nothing about {query}.")

    run = await testing.run(support, "Hi", model=[ASK, "Sorry."], tools={"search": search})
    assert run.prompts[1].text == "Error: Nothing about Hi."


async def test_a_tool_that_the_test_does_not_have_fails_it() -> None:
    with pytest.raises(AssertionError, match=r"the tool 'search' was called, .* pass tools=\{'search': …\}"):
        await testing.run(support, "Hi", model=[ASK, "Hello."])


async def test_an_agent_calls_real_tools_and_other_agents() -> None:
    @agent
    def chief(ctx: SyncAgentContext) -> str:
        """Delegates."""
        counted = ctx.call("read", file="a.txt")
        return f"{ctx.call('support', text='Hi')} {counted['lengths']}"

    runs = await testing.crash_everywhere(
        chief, "Go", model=["Hello."], tools={"read": read, "support": support}, files={"a.txt": b"one two"}
    )
    assert [(run.text, run.model_calls) for run in runs] == [("Hello. [3, 3]", 1)] * 3


async def test_what_an_agent_writes_steps_maps_and_hides_survives_each_crash() -> None:
    @agent
    async def editor(ctx: AgentContext) -> AsyncIterator[str]:
        """Writes in several ways."""
        draft = await ctx.generate("Draft.", show=False)
        yield f"{draft.text}: "

        async def length(word: str) -> int:
            reply = await ctx.generate(f"Rate {word}.", show=False)
            return len(word) * int(reply.text)

        async def total() -> int:
            return 7

        rated = await ctx.map(ctx.text.split(), length)
        yield f"{rated}, {await ctx.step('total', total)}"
        await ctx.run([Call("note", text="own")])
        await ctx.generate("End.")

    def model(prompt: testing.Prompt) -> str:
        return {"Draft.": "D", "End.": f"{len(prompt.messages)} messages"}.get(prompt.system, "2")

    runs = await testing.crash_everywhere(editor, "a bc", model=model, tools={"note": lambda text: text})
    assert {run.text for run in runs} == {"D: [2, 4], 7\n\n4 messages"}
    assert len(runs) == 1 + runs[0].checkpoints == 9


async def test_another_checkpoint_at_the_same_place_is_found() -> None:
    turns = itertools.count()

    @agent
    async def moody(ctx: AgentContext) -> None:
        """Does something else each time."""
        await ctx.call("one" if next(turns) == 0 else "two")

    with pytest.raises(AssertionError, match="checkpoint 1 was a call of 'one' before the crash, and is a call of 'tw"):
        await testing.run(moody, "Hi", tools={"one": int, "two": int}, crash_after=1)


async def test_a_conversation_goes_on_and_a_whole_reply_can_be_given() -> None:
    @agent
    async def counts(ctx: AgentContext) -> None:
        """Tells the tokens."""
        reply = await ctx.generate()
        ctx.write(f"{len(ctx.messages)} {reply.output_tokens} {reply.finish_reason} {ctx.now.year}")

    history: list[testing.Message] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    run = await testing.run(
        counts, "Hi", history=history, model=[Reply(text="", output_tokens=3, finish_reason="length")]
    )
    assert run.text == "4 3 length 2023"


async def test_the_fixture_keeps_files_where_the_test_can_look(run_tool: testing.Runner, tmp_path: Path) -> None:
    await run_tool(read, "a.txt", files={"a.txt": "text"})
    assert (tmp_path / "storage" / "kept.txt").read_text() == "text"


async def test_the_fixture_crashes_everywhere(crash_everywhere: testing.Crasher) -> None:
    assert len(await crash_everywhere(summarize, ["a"], model=["A"])) == 3
