"""LiteLLM's client, and what of the OpenAI routes it is stricter about than OpenAI's own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.api.conftest import KEYS
from tests.environments import Environment
from tests.server import Server

NAMES = ("test-model", "assistant")
ENVIRONMENT = Environment.named("litellm-client", Path(__file__).with_name("litellm.txt"))
PROGRAM = Path(__file__).with_name("litellm_client.py")
ARGUMENTS = '{"word": "sea"}'
ANSWER = "The tool answered: wet w0 w1 "


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seen(api_server: Server) -> dict[str, Any]:
    """What the program saw, by door, name and way to ask."""
    await asyncio.to_thread(ENVIRONMENT.make)
    found: dict[str, Any] = await ENVIRONMENT.printed_by(PROGRAM, f"{api_server.url}/v1", KEYS["ada"], *NAMES)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_litellm_calls_a_tool_of_its_callers_and_goes_on_with_the_result(
    seen: dict[str, Any], name: str, how: str
) -> None:
    told = {"said": "s0 ", "arguments": ARGUMENTS, "text": ANSWER, "tokens": 2}
    assert seen[f"chat, {name}, {how}"] == {**told, "reason": "tool_calls"}
    assert seen[f"responses, {name}, {how}"] == {**told, "sent again": ANSWER}


@pytest.mark.parametrize("name", NAMES)
async def test_litellm_waits_through_silence(seen: dict[str, Any], name: str) -> None:
    assert seen[f"waited, {name}"] == ["w0 w1 w2 ", "w0 w1 w2 "]


@pytest.mark.parametrize("name", NAMES)
async def test_litellm_finds_and_deletes_a_background_response(seen: dict[str, Any], name: str) -> None:
    assert seen[f"in background, {name}"] == [True, "w0 w1 w2 w3 w4 w5 ", True]


async def test_litellm_raises_the_error_of_its_kind(seen: dict[str, Any]) -> None:
    assert seen["failures"] == ["NotFoundError", "AuthenticationError", "MidStreamFallbackError"]
