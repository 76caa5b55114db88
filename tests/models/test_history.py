"""What fits the model's context."""

from pathlib import Path
from typing import Any

import pytest

from models.agents import MESSAGES_LEFT_OUT
from tests.endpoint import Endpoint
from tests.models.desk import Desk, open_desk, settings_for
from toolkit.pool import HostPool

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_old_turns_are_left_out_and_the_user_is_told(endpoint: Endpoint, tmp_path: Path, pool: HostPool) -> None:
    async with open_desk(tmp_path, settings_for(endpoint.url, context_tokens=150), pool) as desk:
        await desk.answer('tokens=1 word=first call echo {"text": "' + "x" * 300 + '"}', thread_id="t1")
        await desk.answer("tokens=30 word=second", thread_id="t1")
        ctx = await desk.submit("tokens=1 word=third", thread_id="t1")
        await desk.run(ctx)
        told = [m["content"] for m in endpoint.requests("word=third")[0].messages[1:]]
        assert await desk.logs(ctx) == [f"info: {MESSAGES_LEFT_OUT}"]
    assert told[0] == "tokens=30 word=second"
    assert told[-1] == "tokens=1 word=third"


async def test_a_message_above_the_context_is_still_sent(endpoint: Endpoint, tmp_path: Path, pool: HostPool) -> None:
    async with open_desk(tmp_path, settings_for(endpoint.url, context_tokens=10), pool) as desk:
        await desk.answer("tokens=1 word=first", thread_id="t1")
        await desk.answer("tokens=1 word=second " + "x" * 400, thread_id="t1")
    assert len(endpoint.requests("word=second")[0].messages) == 2


async def test_a_deleted_file_is_left_out_of_the_list(desk: Desk, endpoint: Endpoint) -> None:
    file = await desk.upload("gone.txt", "x")
    await desk.files.delete(file.id)
    await desk.answer("tokens=1", files=(file.id,))
    assert endpoint.requests()[0].messages[1]["content"] == "tokens=1"


async def test_messages_that_a_caller_brings_along_are_told_in_order(desk: Desk, endpoint: Endpoint) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "echo", "arguments": '{"text":"x"}'}}
    brought: list[dict[str, Any]] = [
        {"role": "assistant", "content": "Welcome."},
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Echo x."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    await desk.answer("tokens=1", arguments={"messages": brought})
    told = endpoint.requests()[0].messages[1:]
    assert [(m["role"], m["content"] or "") for m in told[:-1]] == [(m["role"], m["content"]) for m in brought]


async def test_instructions_stay_when_old_messages_are_left_out(
    endpoint: Endpoint, tmp_path: Path, pool: HostPool
) -> None:
    brought = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "x" * 4000},
        {"role": "developer", "content": "Be polite."},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "No."},
    ]
    async with open_desk(tmp_path, settings_for(endpoint.url, context_tokens=200), pool) as desk:
        await desk.answer("tokens=1", arguments={"messages": brought})
    told = [m["content"] for m in endpoint.requests()[0].messages[1:]]
    assert told == ["Be brief.", "Be polite.", "And?", "No.", "tokens=1"]
