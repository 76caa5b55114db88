"""What oddly made streams come to: tables of chunks, and of bytes; then the connection, over real HTTP."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from httpx2 import Request
from langchain_core.messages import AIMessage

from jobs.errors import StepFailed
from models import streaming, upstream
from models.calls import TokenStream
from models.models import Models, open_models
from models.patience import Patience
from models.replies import ModelReply
from models.streaming import MAX_CALLS, Answer, _chunks
from models.upstream import fault_of
from tests.models.desk import settings_for

REQUEST = Request("POST", "http://localhost")
HIGH, LOW = r'{"choices": [{"delta": {"content": "\ud83d"}}]}', r'{"choices": [{"delta": {"content": "\ude00"}}]}'
LIMIT_BYTES = 1_000_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
HI = b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\n'

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer_of(*chunks: str, together: bool = False) -> tuple[AIMessage, TokenStream]:
    tokens = TokenStream(None, limit_bytes=LIMIT_BYTES)
    answer = Answer(tokens)
    data = [chunk.encode() for chunk in chunks]
    for batch in [data] if together else [[one] for one in data]:
        answer.take(batch, REQUEST)
    return answer.message(), tokens


def text_of(*chunks: str, together: bool = False) -> str:
    return answer_of(*chunks, together=together)[1].text


def said(content: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": content}}]})


def calling(*pieces: dict[str, Any]) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": pieces}}]})


def piece(name: str | None = None, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return {**fields, "function": {"name": name, "arguments": arguments}}


def calls_of(*chunks: str) -> list[tuple[str, Any]]:
    message, _ = answer_of(*chunks)
    return [(call["name"], call["args"]) for call in message.tool_calls]


async def data_of(*pieces: bytes) -> list[bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for one in pieces:
            yield one

    return [one async for data in _chunks(stream()) for one in data]


def test_a_half_character_in_the_name_of_a_call_can_be_stored() -> None:
    [(name, _)] = calls_of(calling(piece("look\ud800", "{}", index=0, id="a")))
    name.encode()


def test_an_index_that_is_no_number_counts_as_none() -> None:
    assert calls_of(calling(piece("look", "{}", index=[0]), piece("see", "{}", index={}))) == [
        ("look", {}),
        ("see", {}),
    ]


def test_an_answer_of_too_many_calls_ends_like_one_of_too_many_words() -> None:
    chunks = [calling(piece("look", "{}", index=number, id=str(number))).encode() for number in range(MAX_CALLS + 9)]
    tokens = TokenStream(None, limit_bytes=LIMIT_BYTES)
    answer = Answer(tokens)
    answer.take(chunks[:MAX_CALLS], REQUEST)
    assert not tokens.is_too_long
    answer.take(chunks[MAX_CALLS:], REQUEST)
    assert tokens.is_too_long
    assert len(answer.message().tool_calls) == MAX_CALLS


def test_what_came_before_a_chunk_that_is_none_is_said_also_when_both_came_together() -> None:
    tokens = TokenStream(None, limit_bytes=LIMIT_BYTES)
    chunks = [said("a").encode(), said("b").encode(), b"{no chunk", said("c").encode()]
    with pytest.raises(ValueError, match="property name"):
        Answer(tokens).take(chunks, REQUEST)
    assert (tokens.text, tokens.started) == ("ab", True)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([HIGH, LOW], "😀"),
        ([said("a"), HIGH, said(""), LOW, said("b")], "a😀b"),
        ([HIGH, said("b")], "\ufffdb"),
        ([LOW, said("b")], "\ufffdb"),
        ([said("a"), HIGH], "a"),
    ],
)
def test_halves_of_an_emoji_are_joined(chunks: list[str], text: str, together: bool) -> None:
    assert text_of(*chunks, together=together) == text


@pytest.mark.parametrize(
    "chunk",
    [
        "null",
        "{}",
        '{"type": "ping"}',
        '{"choices": null}',
        '{"choices": []}',
        '{"choices": [null]}',
        '{"choices": [{"delta": null}]}',
        '{"error": {}, "choices": []}',
        '{"error": null}',
        '{"choices": [{"index": 1, "delta": {"content": "another"}}]}',
        '{"choices": [{"logprobs": NaN, "delta": {}}]}',
        '{"choices": [{"delta": {"tool_calls": [null]}}]}',
    ],
)
def test_a_chunk_that_says_nothing_is_skipped(chunk: str) -> None:
    assert text_of(said("a"), chunk, said("b")) == "ab"


@pytest.mark.parametrize(
    ("details", "cached"), [("null", 0), ('{"cached_tokens": 2}', 2), ('{"cached_tokens": "?"}', 0), ("[7]", 0)]
)
def test_a_chunk_without_choices_may_count_tokens(details: str, cached: int) -> None:
    _, tokens = answer_of(
        f'{{"usage": {{"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {details}}}}}'
    )
    assert tokens.usage == {
        "input_tokens": 3,
        "output_tokens": 2,
        "total_tokens": 5,
        "input_token_details": {"cache_read": cached},
        "output_token_details": {"reasoning": 0},
    }


@pytest.mark.parametrize(
    "chunk",
    [
        '"a string"',
        "[1]",
        "7",
        '{"choices": ["x"]}',
        '{"choices": [{"delta": {"cont',
        '{"choices": [{"delta": {"content": 7}}]}',
        '{"choices": [{"delta": {"content": {"type": "text"}}}]}',
        "[" * 100_000,
    ],
)
def test_a_chunk_that_is_none_ends_the_call(chunk: str) -> None:
    with pytest.raises(Exception) as caught:  # whatever Python makes of it; the table knows them
        text_of(chunk)
    fault = fault_of(caught.value, started=False)
    assert fault is not None
    assert (fault.code, fault.reason) == ("model_error", "The model endpoint sent something unreadable.")


@pytest.mark.parametrize("error", ['"busy"', '{"message": "busy"}'])
def test_an_error_in_the_stream_is_raised(error: str) -> None:
    with pytest.raises(openai.APIError, match="busy"):
        text_of(f'{{"error": {error}}}')


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "thinking", "thinking": []}, {"type": "text", "text": None}, {"type": "text", "text": "b"}], "b"),
        ([], ""),
    ],
)
def test_content_may_come_in_parts(content: list[dict[str, Any]], text: str) -> None:
    assert text_of(said(content)) == text


CALLS = {
    "as OpenAI": [[piece("a", '{"x": ', index=0, id="1")], [piece(None, "1}", index=0)], [piece("b", index=1, id="2")]],
    "always number 0": [[piece("a", '{"x": 1}', index=0, id="1")], [piece("b", "{}", index=0, id="2")]],
    "no number": [[piece("a", '{"x": 1}', id="1"), piece("b", "{}", id="2")]],
    "no number, in pieces": [[piece("a", '{"x"', index=None, id="1")], [piece(None, ": 1}")], [piece("b", id="2")]],
    "a number only at the beginning": [
        [piece("a", '{"x"', index=0, id="1")],
        [piece(None, ": 1}")],
        [piece("b", index=1, id="2")],
    ],
    "neither number nor id": [[piece("a", '{"x": 1}')], [piece("b", "{}")]],
    "the name in every piece": [
        [piece("a", '{"x"', index=0, id="1")],
        [piece("a", ": 1}", index=0, id="1"), piece("b", index=1)],
    ],
    "an id of its own for every piece": [
        [piece("a", '{"x"', index=0, id="1")],
        [piece(None, ": 1}", index=0, id="2"), piece("b", index=1)],
    ],
    "arguments as an object": [[piece("a", {"x": 1}, index=0)], [piece("b", {}, index=1)]],
    "side by side": [
        [piece("a", '{"x"', index=0), piece("b", "{", index=1)],
        [piece("", ": 1}", index=0), piece("", "}", index=1)],
    ],
}


@pytest.mark.parametrize("chunks", CALLS.values(), ids=CALLS)
def test_calls_are_told_apart_however_they_are_numbered(chunks: list[list[dict[str, Any]]]) -> None:
    assert calls_of(*[calling(*pieces) for pieces in chunks]) == [("a", {"x": 1}), ("b", {})]


def test_two_calls_of_one_tool_are_told_apart_by_their_ids() -> None:
    chunks = [calling(piece("a", '{"x": 1}', index=0, id="1")), calling(piece("a", '{"x": 2}', index=0, id="2"))]
    assert calls_of(*chunks) == [("a", {"x": 1}), ("a", {"x": 2})]


def test_halves_of_an_emoji_are_joined_in_arguments_too() -> None:
    chunk = '{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "a", "arguments": %s}}]}}]}'
    assert calls_of(chunk % r'"{\"x\": \"\ud83d"', chunk % r'"\ude00\"}"') == [("a", {"x": "😀"})]


@pytest.mark.parametrize(
    "arguments", ['{"x": NaN}', '{"x": -Infinity}', '{"x": 1e999}', "[1]", '"x"', '{"x": ', '{"x": ' * 100_000]
)
def test_arguments_that_are_no_json_object_are_broken(arguments: str) -> None:
    message, _ = answer_of(calling(piece("a", arguments, index=0)))
    assert not message.tool_calls
    assert [call["name"] for call in message.invalid_tool_calls] == ["a"]


@pytest.mark.parametrize(
    "stream",
    [
        b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n",
        b"data:1\r\n\r\ndata:2\r\n\r\ndata:[DONE]\r\n\r\n",
        b"data: 1\r\rdata: 2\r\rdata: [DONE]\r\r",
        b"\xef\xbb\xbfdata: 1\n\ndata: 2\n\n",
        b"data: 1\n\ndata: 2",
        b"data: 1\n\ndata: 2\n\ndata: [DONE]",
        b": ping\n\nevent: x\ndata: 1\n\ndata:\n\ndata: \n\nid: 7\nretry: 1\ndata: 2\n\n",
        b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\ndata: 3\n\n",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_stream_may_be_cut_anywhere_and_written_in_any_way(stream: bytes, size: int) -> None:
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert await data_of(*pieces) == [b"1", b"2"]


async def test_a_long_line_is_read_and_an_endless_one_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_LINE_BYTES", 1000)
    assert await data_of(b"data: ", *[b"x" * 10] * 99, b"\n") == [b"x" * 990]
    assert len(await data_of(*[b"data: ", b"x\n"] * 1000)) == 1000
    with pytest.raises(ValueError, match="too long"):
        await data_of(b"data: ", *[b"x" * 10] * 100)


async def test_one_connection_serves_calls_in_turn() -> None:
    connections: set[str] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(str(writer.get_extra_info("peername")))
        while await received(reader):
            writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(HI) + chunked(b"data: [DONE]\n\n"))
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(b"0\r\n\r\n")

    async with serving(serve) as models:
        assert [(await ask(models)).text for _ in range(5)] == ["hi"] * 5
    assert len(connections) == 1


async def test_a_body_that_never_ends_holds_nothing_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(HEAD + b"Content-Length: 9999\r\n\r\n" + HI + b"data: [DONE]\n\n")
        await reader.read()

    async with serving(serve, idle_seconds=30) as models, asyncio.timeout(20):
        assert (await ask(models)).text == "hi"


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
async def test_a_body_that_cannot_be_decoded_is_a_broken_connection(
    status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "TRANSIENT", ())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        head = HEAD.replace(b"200 OK", status) + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n"
        writer.write(head + gzip.compress(HI)[:10] + b"\xff" * 20)

    async with serving(serve) as models:
        with pytest.raises(StepFailed) as caught:
            await ask(models)
    assert caught.value.code == "model_unreachable"


@pytest.mark.parametrize("then", ["waits", "closes"])
async def test_a_body_whose_pieces_cannot_be_told_apart_is_given_up(then: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(HI))
        await asyncio.sleep(0.05)  # together with what follows it would be lost
        writer.write(b"zz\r\n")
        if then == "waits":
            await reader.read()

    async with serving(serve, idle_seconds=0.3) as models, asyncio.timeout(20):
        with pytest.raises(StepFailed) as caught:
            await ask(models)
    assert caught.value.code in {"model_timeout", "model_truncated"}


async def test_an_answer_that_is_no_http_is_an_endpoint_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "TRANSIENT", ())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(b"what?\r\n\r\n")

    async with serving(serve) as models, asyncio.timeout(20):
        with pytest.raises(StepFailed) as caught:
            await ask(models)
    assert caught.value.code == "model_unreachable"


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_an_endpoint_that_does_not_read_the_request_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "ONCE", ())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(30)

    async with serving(serve, idle_seconds=0.2) as models, asyncio.timeout(20):
        with pytest.raises(StepFailed) as caught:
            await models.complete("Answer.", "x" * 20_000_000, model=None, patience=Patience())
    assert caught.value.code == "model_timeout"


async def test_a_name_and_password_in_the_address_are_sent_as_a_header() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD + b"Connection: close\r\n\r\n" + HI + b"data: [DONE]\n\n")

    async with serving(serve, login="ada:p%40ss@") as models:
        assert (await ask(models)).text == "hi"
    assert base64.b64encode(b"ada:p@ss") in heads[0]
    assert b"@127" not in heads[0]


@asynccontextmanager
async def serving(serve: Handler, *, login: str = "", **changes: Any) -> AsyncIterator[Models]:
    """Models of an endpoint that answers connections like this."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
            await writer.drain()
        finally:
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        url = f"http://{login}127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with open_models(settings_for(url, **changes)) as models:
            yield models


async def received(reader: asyncio.StreamReader) -> bool:
    """A whole request was read; false: the client has closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l"))
    await reader.readexactly(length)
    return True


async def ask(models: Models) -> ModelReply:
    return await models.complete("Answer.", "anything", model=None, patience=Patience())


def chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
