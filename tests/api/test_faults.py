"""What the model's endpoint can do to us, at every door: the answer recovers, or ends with one clean sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from tests.api.doors import DOORS, Outcome
from tests.conftest import model_environment
from tests.endpoint import FLOOD, Endpoint, script
from tests.server import Server

ENOUGH_SECONDS = 60
INTERNALS = ("Traceback", "Exception", "Error(", "httpx", "httpcore", "openai.", 'File "', "127.0.0.1", "test-key")
HUGE = "h" * 300_000
LONGEST_BYTES = 400_000


@dataclass(frozen=True, kw_only=True)
class Fault:
    script: str
    text: str
    """What is answered, or all there was before the error."""
    error: str | None = None
    """Words of the sentence; None: the answer is whole."""


LIMITED, FAILED, UNREADABLE = "takes no more requests", "endpoint failed", "something unreadable"
SILENT, BROKE_OFF, REPORTED = "did not answer in time", "broke off", "reported an error"

FAULTS = {
    "429 once": Fault(script="tokens=2 status=429 retry_after=0 times=1", text="w0 w1 "),
    "429 for ever": Fault(script="status=429 retry_after=0", text="", error=LIMITED),
    "500 once": Fault(script="tokens=2 status=500 times=1", text="w0 w1 "),
    "500 for ever": Fault(script="status=500", text="", error=FAILED),
    "401": Fault(script="status=401", text="", error="refused the key"),
    "silent before the first word, once": Fault(script="tokens=2 delay=60 times=1", text="w0 w1 "),
    "silent before the first word": Fault(script="delay=60", text="", error=SILENT),
    "silent in mid-stream": Fault(script="tokens=4 hang=60@2", text="w0 w1 ", error=SILENT),
    "cut before the first byte": Fault(script="cut=0", text="", error="cannot be reached"),
    "cut in mid-stream": Fault(script="tokens=4 cut=2", text="w0 w1 ", error=BROKE_OFF),
    "a malformed chunk": Fault(script="tokens=4 malformed=2", text="w0 w1 ", error=UNREADABLE),
    "an error chunk": Fault(script="tokens=4 error=2", text="w0 w1 ", error=REPORTED),
    "an end without a reason": Fault(script="tokens=4 eof=2", text="w0 w1 ", error=BROKE_OFF),
    "an answer without end": Fault(script="flood=5", text=(FLOOD * LONGEST_BYTES)[:LONGEST_BYTES]),
    "a huge token": Fault(script=f"tokens=1 word={HUGE}", text=f"{HUGE}0 "),
}

Outcomes = dict[tuple[str, str], Outcome]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outcomes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outcomes]:
    """All of them at once: most of their time is waiting."""
    with Endpoint() as endpoint:
        server = Server(
            tmp_path_factory.mktemp("faults"),
            model_environment(endpoint)
            | {"LONGHAUL_MODEL_IDLE_SECONDS": "2", "LONGHAUL_MAX_ANSWER_MB": str(LONGEST_BYTES / 1e6)},
        )
        await server.start()
        try:
            yield await _asked(server)
        finally:
            server.stop()
        server.check_log()


async def _asked(server: Server) -> Outcomes:
    pairs = [(door, fault) for door in DOORS for fault in FAULTS]
    limits = httpx.Limits(max_connections=len(pairs))
    async with httpx.AsyncClient(base_url=server.url, timeout=ENOUGH_SECONDS, limits=limits) as client:
        asked = (DOORS[door](client, script(FAULTS[fault].script)) for door, fault in pairs)
        return dict(zip(pairs, await asyncio.gather(*asked), strict=True))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("door", DOORS)
async def test_a_fault_of_the_model_is_survived_or_told_in_a_sentence(
    outcomes: Outcomes, door: str, fault: str
) -> None:
    outcome, expected = outcomes[door, fault], FAULTS[fault]
    if expected.error is None:
        assert (outcome.error, outcome.text) == (None, expected.text)
        return
    assert expected.error in (outcome.error or "")
    assert outcome.text == ("" if door == "whole completion" else expected.text)
    assert not [word for word in INTERNALS if word in outcome.raw]
