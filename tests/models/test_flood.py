"""An endpoint that sends more than anybody can store: the answer is cut, or the stream waits, and memory is bounded."""

import asyncio
from typing import Any

import pytest

from jobs.context import JobContext
from jobs.errors import StepFailed
from models.calls import TokenStream
from models.models import Models, open_models
from models.patience import Patience
from models.replies import TOO_LONG, ModelReply
from models.streaming import CALL_BYTES, Answer
from tests.endpoint import FLOOD, Endpoint
from tests.models.desk import settings_for
from tests.models.test_streaming import REQUEST, calling, piece, said
from tests.waiting import until

SOON = 30.0


class Chat:
    """One call whose text is shown, and a store that keeps up while `kept_up` is set."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.kept_up = asyncio.Event()
        self.kept_up.set()

    async def __call__(self, models: Models, script: str, *, sent_bytes: int = 0) -> ModelReply:
        async def ask(model: Any) -> Any:
            return await model.ainvoke([("user", script)])

        return await models.chat(
            ask,
            model=None,
            on_text=self._take,
            on_reasoning=None,
            patience=Patience(),
            room=self._room,
            sent_bytes=sent_bytes,
        )

    def _take(self, text: str) -> None:
        self._pieces.append(text)

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def _room(self) -> Any:
        return None if self.kept_up.is_set() else self.kept_up.wait()


async def test_an_answer_beyond_the_limit_is_cut_there_and_its_connection_closed(endpoint: Endpoint) -> None:
    chat = Chat()
    async with open_models(settings_for(endpoint.url, max_answer_bytes=100_000)) as models:
        reply = await chat(models, "flood=50")
        [request] = endpoint.requests()
        await until(lambda: request.disconnected_at, within=SOON, what="the stream is closed")
    assert (reply.finish_reason, len(reply.text)) == (TOO_LONG, 100_000)
    assert reply.text == chat.text == (FLOOD * 100_000)[:100_000]
    assert request.tokens_sent * len(FLOOD) < 50_000_000


async def test_the_limit_is_one_for_all_calls_of_a_turn(endpoint: Endpoint) -> None:
    async with open_models(settings_for(endpoint.url, max_answer_bytes=100_000)) as models:
        reply = await Chat()(models, "flood=1", sent_bytes=99_990)
    assert (reply.finish_reason, reply.text) == (TOO_LONG, FLOOD[:10])


async def test_what_a_tool_asks_for_fails_with_a_sentence_when_it_is_too_long(endpoint: Endpoint) -> None:
    async with open_models(settings_for(endpoint.url, max_answer_bytes=1_000)) as models:
        with pytest.raises(StepFailed, match="longer than this server allows"):
            await models.complete("Answer.", "flood=1", model=None, patience=Patience())


async def test_while_the_store_does_not_keep_up_the_stream_is_not_read_and_nobody_calls_that_silence(
    endpoint: Endpoint,
) -> None:
    chat, idle_seconds = Chat(), 0.5
    async with open_models(settings_for(endpoint.url, idle_seconds=idle_seconds, max_answer_bytes=10**9)) as models:
        await models.ready()
        chat.kept_up.clear()
        answering = asyncio.create_task(chat(models, "flood=6 tokens=3"))
        before = -1
        while before != (sent := sum(request.tokens_sent for request in endpoint.requests())) or not sent:
            before = sent
            await asyncio.sleep(2 * idle_seconds)  # longer than an endpoint may be silent
        assert len(chat.text) < 1_000_000, "one piece, as it arrived"
        assert not answering.done()
        chat.kept_up.set()
        reply = await asyncio.wait_for(answering, SOON)
    assert reply.finish_reason == "stop"
    assert reply.text.endswith("w0 w1 w2 ")
    assert len(reply.text) > 5_900_000
    assert len(endpoint.requests()) == 1


def test_the_arguments_of_a_call_count_too() -> None:
    tokens = TokenStream(None, limit_bytes=1_000)
    answer = Answer(tokens)
    answer.take([said("é" * 100).encode()], REQUEST)
    for _ in range(20):
        answer.take([calling(piece("look", "x" * 90, index=0, id="a")).encode()], REQUEST)
    assert tokens.is_too_long
    [call] = answer.message().invalid_tool_calls
    assert len(str(call["args"])) == 800 - CALL_BYTES - len("look")


def test_so_do_calls_that_have_nothing_but_a_name() -> None:
    tokens = TokenStream(None, limit_bytes=10_000)
    answer = Answer(tokens)
    for number in range(200):
        answer.take([calling(piece("x" * 50, index=number, id=str(number))).encode()], REQUEST)
    assert tokens.is_too_long


async def test_a_job_says_how_much_is_on_its_way_to_the_store(desk: Any) -> None:
    ctx: JobContext = await desk.submit("hello")
    assert ctx.room() is None
    for _ in range(70):
        ctx.deltas.add("model:1", "x" * 4096)
    room = ctx.room()
    assert room is not None
    await asyncio.wait_for(room, SOON)
    assert ctx.room() is None
