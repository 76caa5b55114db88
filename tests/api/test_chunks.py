"""An answer as chat completions: pages of pieces in, bytes out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from api.answer import Ended, Failed, Piece, Replaced, Text
from api.errors import ApiError
from api.openai.chunks import ChunkWriter, Envelope, Withdrawn, chunks, error_frame, whole

ENVELOPE = Envelope(id="chatcmpl-1", created=1700000000, model="m")
HEAD = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":['
ROLE = b'{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}'
STOP = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}'
LENGTH = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}'
DONE = b"data: [DONE]\n\n"
END = Ended(finish_reason="stop", text="ab", usage={"input_tokens": 3, "output_tokens": 2})


def chunk(choice: bytes, usage: bytes = b"") -> bytes:
    return HEAD + choice + b"]" + usage + b"}\n\n"


def words(text: bytes) -> bytes:
    return b'{"index":0,"delta":{"content":"' + text + b'"},"logprobs":null,"finish_reason":null}'


def rendered(*pages: Sequence[Piece], usage: bool = False) -> bytes:
    writer = ChunkWriter(ENVELOPE, usage=usage)
    return b"".join(frame for page in pages for frame in writer.feed(page))


@pytest.mark.parametrize(
    ("pages", "frames"),
    [
        ([[Text(text="a")], [Text(text="b")], [END]], [ROLE, words(b"a"), words(b"b"), STOP]),
        ([[Text(text="a"), Text(text="b")], [END]], [ROLE, words(b"ab"), STOP]),
        ([[Text(text="a"), Text(text="b"), END]], [ROLE, words(b"ab"), STOP]),
        ([[Ended(finish_reason="length", text="", usage=None)]], [ROLE, LENGTH]),
        ([[Text(text="a")], [Replaced(text="ab")], [END]], [ROLE, words(b"a"), words(b"b"), STOP]),
        ([[Text(text="x"), Replaced(text="a"), Text(text="b")], [END]], [ROLE, words(b"ab"), STOP]),
        ([[Text(text="a")], [Replaced(text="a")], [END]], [ROLE, words(b"a"), STOP]),
        ([[Text(text='"\n\u2028')], [END]], [ROLE, words('\\"\\n\u2028'.encode()), STOP]),
        ([[Text(text="\ud83d")], [END]], [ROLE, words(b"\\ud83d"), STOP]),
    ],
    ids=[
        "a page is a chunk",
        "the words of a page are one chunk",
        "all at once",
        "cut off before a word",
        "the new words begin with what was sent",
        "replaced before it was sent",
        "replaced by the same",
        "what JSON escapes",
        "half a character",
    ],
)
def test_a_stream_is_role_words_reason_done(pages: list[list[Piece]], frames: list[bytes]) -> None:
    assert rendered(*pages) == b"".join(map(chunk, frames)) + DONE


def test_usage_is_told_in_a_chunk_of_its_own_and_is_null_before() -> None:
    spent = b'],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    before = b"".join(chunk(choice, b',"usage":null') for choice in [ROLE, words(b"ab"), STOP])
    assert rendered([Text(text="ab")], [END], usage=True) == before + HEAD + spent + DONE


def test_a_failure_comes_behind_the_words_before_it() -> None:
    writer = ChunkWriter(ENVELOPE, usage=False)
    frames = writer.feed([Text(text="a"), Failed(code="model_timeout", message="Too slow.")])
    assert next(frames) == chunk(ROLE) + chunk(words(b"a"))
    with pytest.raises(ApiError) as failure:
        next(frames)
    assert error_frame(failure.value) == (
        b'data: {"error":{"message":"Too slow.","type":"server_error","param":null,"code":"model_timeout"}}\n\n'
    )


@pytest.mark.parametrize("anew", ["x", "", "a"])
def test_words_that_were_sent_cannot_be_taken_back(anew: str) -> None:
    with pytest.raises(Withdrawn):
        rendered([Text(text="ab")], [Replaced(text=anew)])


async def given(*pages: Sequence[Piece]) -> AsyncGenerator[Sequence[Piece], None]:
    for page in pages:
        yield page


async def test_a_failure_before_the_first_word_is_an_error_and_no_frame() -> None:
    frames = chunks(given([Failed(code="model_rate_limited", message="Wait.")]), ChunkWriter(ENVELOPE, usage=False))
    with pytest.raises(ApiError) as failure:
        await anext(frames)
    assert (failure.value.status, failure.value.code) == (429, "model_rate_limited")


async def test_a_whole_answer_is_one_object() -> None:
    frames = whole(given([Text(text="a")], [Text(text="b"), END]), ENVELOPE)
    assert [frame async for frame in frames] == [
        b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"ab","refusal":null},"logprobs":null,"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
    ]


async def test_a_whole_answer_that_fails_is_an_error_whatever_was_said() -> None:
    frames = whole(given([Text(text="a")], [Failed(code="cancelled", message="Stopped.")]), ENVELOPE)
    with pytest.raises(ApiError) as failure:
        await anext(frames)
    assert failure.value.status == 499
