"""Tools that block, burn or end their process: their own call suffers, nobody else."""

import asyncio
from itertools import pairwise

import pytest

from tests.browser.conftest import OpenChat
from tests.endpoint import Endpoint, script
from tests.server import Server, latencies

TOKEN_GAP_SECONDS = 0.25
HEALTH_P99_SECONDS = 0.05


@pytest.mark.alone
@pytest.mark.parametrize(("tool", "seconds"), [("block_the_loop", 70), ("burn_the_loop", 30)])
async def test_a_tool_that_keeps_its_loop_slows_nobody(
    shared_server: Server, open_chat: OpenChat, tool: str, seconds: int
) -> None:
    offender = await open_chat(shared_server.url)
    other = await open_chat(shared_server.url)
    await offender.send(script(f'call {tool} {{"seconds": {seconds}}}'))
    await offender.shows_step(tool)

    streamed = asyncio.Event()
    measuring = asyncio.ensure_future(latencies(shared_server, "/healthz", streamed))
    await other.send(script(tokens=120, rate=30))
    await other.has_words(120)
    streamed.set()

    seen = sorted((await other.seen_at()).values())
    assert max(after - before for before, after in pairwise(seen)) <= TOKEN_GAP_SECONDS
    assert percentile(await measuring, 99) <= HEALTH_P99_SECONDS

    await offender.press_stop()
    await offender.says("stopped", tool, within=3)
    await offender.finishes()


async def test_another_tool_works_while_one_blocks(shared_server: Server, open_chat: OpenChat) -> None:
    offender = await open_chat(shared_server.url)
    other = await open_chat(shared_server.url)
    await offender.send(script('call block_the_loop {"seconds": 70}'))
    await offender.shows_step("block_the_loop")

    await other.send(script('call block_the_loop {"seconds": 0.01}'))
    await other.says("slept 0.01 seconds", within=5)

    await offender.press_stop()
    await offender.says("stopped", within=3)


async def test_a_blocked_loop_is_named_in_the_log(shared_server: Server, open_chat: OpenChat) -> None:
    chat = await open_chat(shared_server.url)
    await chat.send(script('call block_the_loop {"seconds": 1.5}'))
    await chat.says("slept 1.5 seconds", within=10)
    assert "misbehaving.py" in shared_server.log()
    assert "block_the_loop" in shared_server.log()


@pytest.mark.alone
async def test_a_tool_that_ends_its_process_fails_that_call_alone(
    shared_server: Server, shared_endpoint: Endpoint, open_chat: OpenChat
) -> None:
    offender = await open_chat(shared_server.url)
    other = await open_chat(shared_server.url)
    busy = await open_chat(shared_server.url)
    await busy.send(script('call note_slowly {"file": "/dev/null", "text": "survived", "seconds": 4}'))
    await busy.shows_step("note_slowly")
    await other.send(script(tokens=120, rate=40))
    await other.sees_word(5)

    question = script("call leave {}")
    await offender.send(question)

    answer = await offender.says("the tool answered", "leave")
    assert "exit code 1" in answer
    assert "Traceback" not in answer
    await other.has_words(120)
    seen = sorted((await other.seen_at()).values())
    assert max(after - before for before, after in pairwise(seen)) <= TOKEN_GAP_SECONDS
    await busy.says("the tool answered: survived", within=15)


def percentile(values: list[float], percent: int) -> float:
    assert values
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
