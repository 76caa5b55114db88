"""What failing endpoints come to, over real HTTP."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from agent.model import Models, open_models
from agent.replies import ModelReply
from jobs.errors import StepFailed
from tests.agent.desk import settings_for
from tests.endpoint import Endpoint
from tests.waiting import until


class Call:
    """One call of `complete`, and what it said of its waits."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    async def __call__(self, models: Models, script: str, **changes: Any) -> ModelReply:
        return await models.complete("Answer.", script, model=changes.get("model"), warn=self._warn)

    async def fails(self, url: str, script: str, **changes: Any) -> StepFailed:
        async with open_models(settings_for(url, **changes)) as models:
            with pytest.raises(StepFailed) as caught:
                await self(models, script)
        return caught.value

    async def _warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def call() -> Call:
    return Call()


async def test_a_call_gives_the_whole_text_and_the_tokens_used(endpoint: Endpoint, call: Call) -> None:
    async with open_models(settings_for(endpoint.url)) as models:
        reply = await call(models, "tokens=3")
    assert (reply.text, reply.finish_reason, reply.output_tokens) == ("w0 w1 w2 ", "stop", 3)
    assert reply.input_tokens


async def test_a_request_may_name_another_model(endpoint: Endpoint, call: Call) -> None:
    async with open_models(settings_for(endpoint.url)) as models:
        await call(models, "tokens=1", model="larger")
    assert endpoint.requests()[0].body["model"] == "larger"


async def test_the_key_is_sent_to_the_endpoint_and_shown_nowhere(endpoint: Endpoint, call: Call) -> None:
    settings = settings_for(endpoint.url)
    async with open_models(settings) as models:
        await call(models, "tokens=1")
    assert endpoint.requests()[0].headers["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("status=401", "model_auth"),
        ("status=403", "model_auth"),
        ("status=404", "model_not_found"),
        ("status=400", "model_error"),
        ("status=422", "model_error"),
        ("cut=2 rate=50", "model_truncated"),
        ("eof=2", "model_truncated"),
        ("malformed=2", "model_error"),
        ("error=2", "model_error"),
        ("hang=30@2", "model_timeout"),
    ],
)
async def test_a_failure_that_cannot_be_mended_is_told_once_and_not_repeated(
    endpoint: Endpoint, call: Call, script: str, code: str
) -> None:
    failure = await call.fails(endpoint.url, script, idle_seconds=0.5)
    assert failure.code == code
    assert len(endpoint.requests()) == 1
    assert not call.warnings
    assert_fit_for_people(failure.message, endpoint)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("status=500", "model_error"),
        ("status=429 retry_after=0", "model_rate_limited"),
        ("cut=0", "model_unreachable"),
        ("eof=0", "model_truncated"),
        ("error=0", "model_error"),
    ],
)
async def test_a_passing_failure_is_repeated_with_a_word_to_the_user_before_it_is_told(
    endpoint: Endpoint, call: Call, script: str, code: str
) -> None:
    failure = await call.fails(endpoint.url, script)
    assert failure.code == code
    assert len(endpoint.requests()) == 4
    assert len(call.warnings) == 3
    assert_fit_for_people(failure.message, endpoint)


@pytest.mark.parametrize("script", ["status=503 times=2", "status=429 times=2 retry_after=0", "cut=0 times=3"])
async def test_an_endpoint_that_recovers_answers_in_the_end(endpoint: Endpoint, call: Call, script: str) -> None:
    async with open_models(settings_for(endpoint.url)) as models:
        reply = await call(models, f"{script} tokens=2")
    assert reply.text == "w0 w1 "
    assert call.warnings


@pytest.mark.alone
async def test_retry_after_is_honoured(endpoint: Endpoint, call: Call) -> None:
    async with open_models(settings_for(endpoint.url)) as models:
        await call(models, "status=429 retry_after=1 times=1 tokens=1")
    first, second = endpoint.requests()
    assert 1.0 <= second.received_at - first.received_at < 1.5
    assert call.warnings == ["The model endpoint takes no more requests for now. Trying again in 1.0 s."]


async def test_silence_before_the_first_token_is_tried_once_more(endpoint: Endpoint, call: Call) -> None:
    async with open_models(settings_for(endpoint.url, idle_seconds=0.5)) as models:
        reply = await call(models, "delay=30 times=1 tokens=1")
    assert reply.text == "w0 "
    assert len(call.warnings) == 1


async def test_lasting_silence_is_a_timeout(endpoint: Endpoint, call: Call) -> None:
    failure = await call.fails(endpoint.url, "delay=30", idle_seconds=0.4)
    assert failure.code == "model_timeout"
    assert len(endpoint.requests()) == 2


async def test_a_slow_but_living_stream_is_no_timeout(endpoint: Endpoint, call: Call) -> None:
    async with open_models(settings_for(endpoint.url, idle_seconds=0.5)) as models:
        reply = await call(models, "tokens=6 rate=5")
    assert reply.text.split() == [f"w{i}" for i in range(6)]


async def test_an_endpoint_that_is_not_there_is_unreachable(call: Call, endpoint: Endpoint) -> None:
    failure = await call.fails("http://127.0.0.1:9/v1", "tokens=1")
    assert failure.code == "model_unreachable"
    assert "127.0.0.1" not in failure.message


@pytest.mark.alone
@pytest.mark.parametrize("script", ["tokens=500 rate=20", "delay=30", "status=429 retry_after=20"])
async def test_a_cancelled_call_closes_its_stream_at_once(endpoint: Endpoint, call: Call, script: str) -> None:
    async with open_models(settings_for(endpoint.url)) as models:
        await models.ready()
        running = asyncio.create_task(call(models, script))
        request = await until(lambda: endpoint.requests(script), within=5, what="the request")
        await until(
            lambda: request[0].tokens_sent > 2 or "tokens" not in script, within=5, what="the stream is under way"
        )
        if "429" in script:
            await until(lambda: call.warnings, within=5, what="the wait has begun")
        begin = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - begin < 0.2
        if "429" not in script:
            closed = await until(lambda: request[0].disconnected_at, within=5, what="the stream is closed")
            assert closed - begin < 0.5


async def test_an_endpoint_that_counts_no_tokens_is_asked_without(endpoint: Endpoint, call: Call) -> None:
    async with open_models(settings_for(endpoint.url)) as models:
        reply = await call(models, "tokens=1")
        assert endpoint.requests()[0].body["stream_options"] == {"include_usage": True}
    assert reply.as_json()["usage"] is not None
    assert ModelReply.from_json(ModelReply(text="x").as_json()) == ModelReply(text="x")


async def test_nothing_is_traced_whatever_the_environment_says(
    endpoint: Endpoint, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("LANGSMITH_API_KEY", "x")
    async with open_models(settings_for(endpoint.url)) as models:
        await models.ready()
        from langsmith.utils import tracing_is_enabled

        assert not tracing_is_enabled()
        await call(models, "tokens=1")


def test_starting_needs_no_heavy_library(tmp_path: Path) -> None:
    import subprocess
    import sys

    listing = "import sys, agent.tasks; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"langchain", "langchain_core", "langgraph", "openai", "sklearn", "numpy"}


def assert_fit_for_people(message: str, endpoint: Endpoint) -> None:
    for internal in (str(endpoint.port), "http", "sk-secret", "Error:", "openai.", "scripted"):
        assert internal not in message
    assert message.endswith(".")
