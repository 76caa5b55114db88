"""OpenAI's Agents SDK, which runs the tools that the model calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.api.conftest import KEYS
from tests.environments import Environment
from tests.server import Server

MODEL = "test-model"
HERE = Path(__file__).parent
ANSWER = "The tool answered: wet in sky w0 w1 "
OUTPUTS = ["wet in sea", "wet in sky"]
EVENTS = [
    "message_output_created",
    "tool_called",
    "tool_called",
    "tool_output",
    "tool_output",
    "message_output_created",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seen(api_server: Server) -> dict[str, Any]:
    """What the program saw, by door, name and way to run."""
    sdk = Environment.named("agents-sdk", HERE / "agents_sdk.txt")
    await asyncio.to_thread(sdk.make)
    program = HERE / "agents_sdk_client.py"
    found: dict[str, Any] = await sdk.printed_by(program, f"{api_server.url}/v1", KEYS["ada"], MODEL)
    return found


@pytest.mark.parametrize("name", [MODEL, "assistant"])
@pytest.mark.parametrize("door", ["responses", "chat"])
async def test_the_agents_sdk_runs_two_tools_at_once_and_gets_the_answer(
    seen: dict[str, Any], door: str, name: str
) -> None:
    told = {"text": ANSWER, "outputs": OUTPUTS, "requests": 2, "counted": True}
    assert seen[f"{door}, {name}, whole"] == told
    streamed = seen[f"{door}, {name}, streamed"]
    assert streamed == {**told, "events": streamed["events"], "streamed": f"s0 {ANSWER}"}
    assert sorted(streamed["events"]) == sorted(EVENTS)


@pytest.mark.parametrize("name", [MODEL, "assistant"])
async def test_the_agents_sdk_goes_on_from_the_response_before(seen: dict[str, Any], name: str) -> None:
    assert seen[f"chained, {name}"] == [ANSWER, "w0 w1 w2 "]


@pytest.mark.parametrize("door", ["responses", "chat"])
async def test_an_agent_of_the_sdk_hands_over_to_another(seen: dict[str, Any], door: str) -> None:
    assert seen[f"handed over, {door}"] == ["The tool answered: wet in sea w0 ", True]
