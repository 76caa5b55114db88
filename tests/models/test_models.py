"""What failing endpoints come to, over real HTTP."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Request, Response
from langchain_core.messages import HumanMessage
from openai import RateLimitError

from jobs.errors import StepFailed
from models.calls import storable
from models.faults import LIMITED
from models.history import ai_message, tool_message
from models.models import Models, open_models
from models.patience import Patience
from models.replies import ModelReply, ToolCall
from models.upstream import fault_of
from tests.endpoint import Endpoint
from tests.models.desk import settings_for
from tests.waiting import until

REFUSED = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    b'{"error": {"message": "stream_options is not supported", "type": "invalid_request_error"}}'
)
UNCOUNTED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
)


class Call:
    """One call of `complete`, and what it said of its waits."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    async def __call__(self, models: Models, script: str, **changes: Any) -> ModelReply:
        return await models.complete("Answer.", script, model=changes.get("model"), patience=Patience(warn=self._warn))

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


async def test_reasoning_goes_back_to_the_model_that_wrote_it_and_to_no_other(endpoint: Endpoint) -> None:
    reasoned = ModelReply(
        text="", calls=(ToolCall(id="a", name="echo", arguments={}),), reasoning={"reasoning_content": "So."}
    )
    said = [
        HumanMessage("tokens=1"),
        ai_message(reasoned, model="test-model"),
        tool_message({"content": "hi"}, call_id="a", name="echo"),
    ]
    async with open_models(settings_for(endpoint.url)) as models:
        for name in ("test-model", "another"):
            await models.chat(
                lambda model: model.ainvoke(said),
                model=name,
                on_text=lambda text: None,
                on_reasoning=None,
                patience=Patience(),
                room=lambda: None,
                sent_bytes=0,
            )
    own, others = [request.messages[1] for request in endpoint.requests()]
    assert own == others | {"reasoning_content": "So."}
    assert "reasoning_content" not in others


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


async def test_retry_after_is_honoured(endpoint: Endpoint, call: Call) -> None:
    async with open_models(settings_for(endpoint.url)) as models:
        await call(models, "status=429 retry_after=1 times=1 tokens=1")
    first, second = endpoint.requests()
    assert 1.0 <= second.received_at - first.received_at < 10
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


@pytest.mark.parametrize("script", ["tokens=500 rate=20", "delay=30", "status=429 retry_after=20"])
async def test_a_cancelled_call_closes_its_stream_at_once(endpoint: Endpoint, call: Call, script: str) -> None:
    async with open_models(settings_for(endpoint.url)) as models:
        await models.ready()
        running = asyncio.create_task(call(models, script))
        request = await until(lambda: endpoint.requests(script), within=30, what="the request")
        await until(
            lambda: request[0].tokens_sent > 2 or "tokens" not in script, within=30, what="the stream is under way"
        )
        if "429" in script:
            await until(lambda: call.warnings, within=30, what="the wait has begun")
        begin = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - begin < 10
        if "429" not in script:
            await until(lambda: request[0].disconnected_at, within=30, what="the stream is closed")
            assert request[0].disconnected_at is not None
            assert request[0].disconnected_at - begin < 10


async def test_an_endpoint_that_refuses_to_count_tokens_is_asked_without(call: Call) -> None:
    asked: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l"))
        counting = b"stream_options" in await reader.readexactly(length)
        asked.append(counting)
        writer.write(REFUSED if counting else UNCOUNTED)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with open_models(settings_for(url)) as models:
            replies = [await call(models, "anything") for _ in range(2)]
    assert [reply.text for reply in replies] == ["hi", "hi"]
    assert replies[0].input_tokens is None
    assert asked == [True, False, False]
    assert not call.warnings


def test_a_reply_is_read_back_as_it_was_written() -> None:
    spoken = ToolCall(id="call_1_0", name="echo", arguments={"text": "hi"})
    broken = ToolCall(id="call_1_1", name="echo", arguments=None)
    reply = ModelReply(text="x", calls=(spoken, broken), finish_reason="tool_calls", input_tokens=3, output_tokens=1)
    assert ModelReply.from_json(json.loads(json.dumps(reply.as_json()))) == reply


@pytest.mark.parametrize(
    ("text", "stored"),
    [("plain", "plain"), ("Grüße 🦉", "Grüße 🦉"), ("\ud83e\udd89", "🦉"), ("a\ud83eb", "a\ufffdb"), ("a\0b", "ab")],
)
def test_text_is_made_fit_for_the_store(text: str, stored: str) -> None:
    assert storable(text) == stored


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("3600", 30.0), ("nan", LIMITED[0]), ("", LIMITED[0])]
)
def test_a_wished_pause_is_read_and_bounded(header: str, seconds: float) -> None:
    response = Response(429, headers={"retry-after": header}, request=Request("POST", "http://localhost"))
    fault = fault_of(RateLimitError("slow down", response=response, body=None), started=False)
    assert fault is not None
    assert fault.pause(0) == seconds


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

    listing = "import sys, models.tasks; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"langchain", "langchain_core", "langgraph", "openai", "sklearn", "numpy"}


def assert_fit_for_people(message: str, endpoint: Endpoint) -> None:
    for internal in (str(endpoint.port), "http", "sk-secret", "Error:", "openai.", "scripted"):
        assert internal not in message
    assert message.endswith(".")
