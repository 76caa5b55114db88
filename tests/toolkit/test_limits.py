"""What leaves a tool is JSON of a bounded size at a bounded rate."""

import time
from typing import Any

import pytest

from tests.toolkit.recording import ORIGIN, RecordingHandler
from toolkit.errors import ToolArgumentsInvalid, ToolError
from toolkit.pool import HostPool
from toolkit.reports import LOG_LINES_PER_SECOND, PROGRESS_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("object", "it contains a object"),
        ("nan", r"it contains NaN or infinity \(use None\)"),
        ("circle", "it contains itself or is nested too deeply"),
        ("large", r"it has 10\.0 MB, and the limit is 4\.2 MB"),
    ],
)
async def test_a_result_that_cannot_leave_gives_a_sentence(shared_pool: HostPool, kind: str, reason: str) -> None:
    with pytest.raises(ToolError, match=f"^The result of the tool return_value is not JSON: {reason}\\.$"):
        await shared_pool.call("return_value", {"kind": kind}, ORIGIN, RecordingHandler())


@pytest.mark.parametrize(("kind", "result"), [("tuple", [1, {"path": "a"}]), ("surrogate", "a?b")])
async def test_a_result_that_is_nearly_json_becomes_json(shared_pool: HostPool, kind: str, result: Any) -> None:
    assert await shared_pool.call("return_value", {"kind": kind}, ORIGIN, RecordingHandler()) == result


async def test_arguments_that_are_too_large_give_a_sentence(shared_pool: HostPool) -> None:
    with pytest.raises(ToolArgumentsInvalid, match=r"The arguments of return_value cannot be sent: it has 10\.0 MB"):
        await shared_pool.call("return_value", {"kind": "x" * 10_000_000}, ORIGIN, RecordingHandler())


async def test_reports_without_end_are_thinned_out_and_the_newest_progress_arrives(shared_pool: HostPool) -> None:
    handler = RecordingHandler()
    began = time.monotonic()
    assert await shared_pool.call("talk_too_much", {"times": 50_000}, ORIGIN, handler) == "done"
    seconds = time.monotonic() - began
    assert len(handler.progresses) <= seconds / PROGRESS_SECONDS + 2
    assert handler.progresses[-1][0] == 49_999
    assert len(handler.logs) <= (seconds + 1) * (LOG_LINES_PER_SECOND + 1) + 1
    assert handler.said("log lines were left out")
    assert max(len(message) for _, message in handler.logs) == 4000
    assert max(len(message) for *_, message in handler.progresses) == 300


async def test_an_artifact_may_be_larger_than_any_message(shared_pool: HostPool) -> None:
    handler = RecordingHandler()
    assert await shared_pool.call("save_large", {}, ORIGIN, handler) == "saved"
    assert handler.artifacts["large.bin"] == ("application/octet-stream", b"x" * 10_000_000)
