"""What a tool can do is the same in a thread, in a process and on the loop."""

import asyncio
import hashlib
import re
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.toolkit.recording import ORIGIN, ModelGone, RecordingHandler
from toolkit.errors import ToolArgumentsInvalid, ToolCrashed, ToolError, ToolUnknown
from toolkit.handler import CallContext
from toolkit.pool import HostPool

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACES = ("in_thread", "in_process", "on_loop")
EVERYTHING = {
    "loaded": [7, "load it"],
    "parts": [[1, "double 1"], [2, "double 2"], [3, "double 3"]],
    "again": ["aa"],
    "said": "conclude all",
    "origin": ["ada", "thread_1", "job_1/call:0", False, []],
}


async def call(pool: HostPool, name: str, handler: RecordingHandler | None = None, **arguments: Any) -> Any:
    return await pool.call(name, arguments, ORIGIN, handler or RecordingHandler())


def complete_path(instruction: str, material: str) -> str:
    return "complete:" + hashlib.sha256(f"{instruction}\0{material}".encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", PLACES)
async def test_every_kind_of_tool_can_use_everything_a_context_offers(shared_pool: HostPool, name: str) -> None:
    handler = RecordingHandler()
    assert await call(shared_pool, name, handler, number=7) == EVERYTHING
    assert handler.logs == [("info", "number 7")]
    assert handler.progresses[-1] == (3, 3, "done")
    assert handler.plans == [[("count", "done"), ("guess", "skipped"), ("write", "active")]]
    assert handler.sources == [{"title": "Numbers", "url": "https://example.org/numbers", "file_id": None, "page": 3}]
    assert handler.artifacts == {"numbers.csv": ("text/csv", b"1,2,3")}


@pytest.mark.parametrize("name", PLACES)
async def test_paths_say_which_part_of_the_call_they_belong_to(shared_pool: HostPool, name: str) -> None:
    handler = RecordingHandler()
    await call(shared_pool, name, handler, number=7)
    assert sorted(handler.begun) == ["map:1/part:0", "part:0", "part:1", "part:2", "step:load"]
    assert sorted(handler.completions) == [
        complete_path("conclude", "all"),
        "part:0/" + complete_path("double", "1"),
        "part:1/" + complete_path("double", "2"),
        "part:2/" + complete_path("double", "3"),
        "step:load/" + complete_path("load", "it"),
    ]
    assert handler.names["part:1"] == "part 2 of 3"


@pytest.mark.parametrize("name", PLACES)
async def test_finished_steps_are_read_back_when_the_call_runs_again(shared_pool: HostPool, name: str) -> None:
    handler = RecordingHandler()
    handler.finished = {"step:load": [7, "load it"], "part:1": [2, "double 2"]}
    assert await call(shared_pool, name, handler, number=7) == EVERYTHING
    assert sorted(handler.begun) == ["map:1/part:0", "part:0", "part:2"]
    assert ("double", "2") not in handler.completions.values()


@pytest.mark.parametrize("name", ["read_file", "read_file_async"])
async def test_a_file_is_an_id_outside_and_an_object_inside(shared_pool: HostPool, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    result = await call(shared_pool, name, RecordingHandler(tmp_path), file="notes.txt")
    assert result in (["notes.txt", "notes.txt", "text/plain", 5, "hello", []], "hello")


async def test_files_in_lists_and_those_of_the_conversation_are_found(shared_pool: HostPool, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    handler = RecordingHandler(tmp_path)
    result = await call(shared_pool, "read_file", handler, file="a.txt", others=["b.txt", "a.txt"])
    assert result[5] == ["b.txt", "a.txt"]
    origin = CallContext(thread_id=None, user="ada", idempotency_key="k", files=("a.txt", "deleted.txt"))
    everything = await shared_pool.call("in_thread", {"number": 1}, origin, handler)
    assert everything["origin"][4] == ["a.txt"]


async def test_an_unknown_file_fails_with_the_handlers_sentence(shared_pool: HostPool) -> None:
    with pytest.raises(ToolError, match=r"There is no file 'nope'\."):
        await call(shared_pool, "read_file", file="nope")


async def test_an_authors_sentence_reaches_the_caller(shared_pool: HostPool) -> None:
    with pytest.raises(ToolError, match=r"^The table has no column 'price'\.$"):
        await call(shared_pool, "say_sentence")


@pytest.mark.parametrize("name", ["fail_unexpectedly", "leave_by_exit"])
async def test_any_other_exception_tells_no_internals(shared_pool: HostPool, name: str) -> None:
    with pytest.raises(ToolError) as caught:
        await call(shared_pool, name)
    assert str(caught.value) == f"The tool {name} failed unexpectedly."
    assert not isinstance(caught.value, ToolCrashed)


async def test_an_unexpected_failure_leaves_its_traceback_on_stderr(
    shared_pool: HostPool, capfd: pytest.CaptureFixture[str]
) -> None:
    async with HostPool([Path(__file__).parent / "sample_tools"]) as pool:
        with pytest.raises(ToolError):
            await call(pool, "fail_unexpectedly")
    assert "everyday.py" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence", "field"),
    [
        ({}, "The argument 'left' is missing.", "left"),
        (
            {"left": "many"},
            "The argument 'left' is wrong: input should be a valid integer, "
            "unable to parse string as an integer, not 'many'.",
            "left",
        ),
        ({"left": 1, "middle": 2}, "There is no argument 'middle' (the tool's arguments: left, right).", "middle"),
    ],
)
async def test_wrong_arguments_give_a_sentence_with_the_fields_name(
    shared_pool: HostPool, arguments: dict[str, Any], sentence: str, field: str
) -> None:
    for name in ("add", "add_async"):
        with pytest.raises(ToolArgumentsInvalid) as caught:
            await call(shared_pool, name, **arguments)
        assert str(caught.value) == sentence
        assert caught.value.fields == {field: sentence}


async def test_an_unknown_tool_is_named(shared_pool: HostPool) -> None:
    with pytest.raises(ToolUnknown, match="There is no tool 'nothing'"):
        await call(shared_pool, "nothing")


async def test_a_workers_error_is_raised_as_it_is_unless_the_tool_catches_it(shared_pool: HostPool) -> None:
    assert await call(shared_pool, "catch_failure") == "went on: The model is out of reach."
    broken = RecordingHandler()

    async def gone(path: str, name: str) -> None:
        raise ModelGone("the store is gone")

    broken.begin_step = gone  # type: ignore[method-assign]
    with pytest.raises(ModelGone, match="the store is gone"):
        await call(shared_pool, "in_thread", broken, number=1)


async def test_two_steps_of_one_name_are_refused(shared_pool: HostPool) -> None:
    handler = RecordingHandler()
    with pytest.raises(ToolError):
        await call(shared_pool, "same_step_twice", handler)
    assert handler.finished == {"step:load": 1}


@pytest.mark.parametrize("name", ["map_with_failure", "map_with_failure_async"])
async def test_the_first_failing_part_ends_a_map(shared_pool: HostPool, name: str) -> None:
    handler = RecordingHandler()
    with pytest.raises(ToolError, match=r"Part 3 is broken\."):
        await call(shared_pool, name, handler)
    assert handler.finished == {"part:0": 0, "part:1": 1}


async def test_a_process_that_needs_too_much_memory_fails_with_a_sentence(shared_pool: HostPool) -> None:
    assert await call(shared_pool, "eat_memory", megabytes=20) == 20_000_000
    with pytest.raises(ToolError, match=r"The tool eat_memory needed more than its 200 MB of memory\."):
        await call(shared_pool, "eat_memory", megabytes=1000)


async def test_many_calls_run_beside_each_other(shared_pool: HostPool) -> None:
    results = await asyncio.gather(*(call(shared_pool, "add", left=number) for number in range(100)))
    assert results == [number + 1 for number in range(100)]


async def test_hosts_import_neither_from_the_current_directory_nor_print_to_stdout(
    shared_pool: HostPool, capfd: pytest.CaptureFixture[str]
) -> None:
    path = await call(shared_pool, "count_children")
    assert path[0] == str(Path(__file__).resolve().parents[2])
    assert "" not in path
    assert capfd.readouterr().out == ""


async def test_a_warm_call_costs_no_process_and_little_time(shared_pool: HostPool) -> None:
    hosts = shared_pool.host_pids
    for name in ("add", "add_async"):
        seconds = [await timed(shared_pool, name) for _ in range(50)]
        assert statistics.median(seconds) < 0.1  # 2 ms on a machine of its own
    assert shared_pool.host_pids == hosts


async def timed(pool: HostPool, name: str) -> float:
    began = time.perf_counter()
    await call(pool, name, left=1)
    return time.perf_counter() - began


async def test_without_a_login_the_jobs_log_says_where_the_authors_code_failed(shared_pool: HostPool) -> None:
    line = r"everyday\.py:\d+: raise KeyError\(\"secret detail\"\)\nKeyError: 'secret detail'"
    for user, said in (("local", True), ("ada", False)):
        handler = RecordingHandler()
        with pytest.raises(ToolError, match=r"^The tool fail_unexpectedly failed unexpectedly\.$"):
            await shared_pool.call("fail_unexpectedly", {}, replace(ORIGIN, user=user), handler)
        logged = [level for level, message in handler.logs if re.fullmatch(line, message)]
        assert logged == (["error"] if said else [])
