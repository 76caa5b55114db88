"""`ChatOpenAI` that reads its stream itself. The SDK makes validated objects of every chunk and LangChain makes its own
of those, which was 72 % of a worker's time; an answer needs three fields of a chunk."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx2  # the SDK stands on it, and lets its errors through while a stream is read
import openai
import orjson
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI
from openai import AsyncAPIResponse
from pydantic import PrivateAttr

from agent.calls import TokenStream, storable

DATA = b"data:"
STARTS = (DATA, codecs.BOM_UTF8 + DATA)
DONE = b"[DONE]"
LONGEST_LINE = 16 * 1024 * 1024
"""In bytes. No chunk is that long: what is, is no stream of chunks."""
LATER_SECONDS = 0.5
"""By how much our own limit on silence outlasts aiohttp's."""
END_SECONDS = 0.1
"""How long a finished answer waits for the end of its body, without which its connection cannot be used again."""


class StreamedChat(ChatOpenAI):
    """Requests are LangChain's, HTTP and its errors are the SDK's. Tokens go to the stream of `with_tokens`.

    Raises what the SDK raises, and for chunks that are none whatever Python makes of them.
    """

    _tokens: TokenStream = PrivateAttr()

    def with_tokens(self, tokens: TokenStream) -> StreamedChat:
        model = self.model_copy()
        model._tokens = tokens
        return model

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - theirs
        **kwargs: Any,
    ) -> ChatResult:
        if self.stream_usage:
            kwargs["stream_options"] = {"include_usage": True}
        payload = self._get_request_payload(messages, stop=stop, **kwargs, stream=True)
        answer = Answer(self._tokens)
        try:
            await self._read(payload, answer)
        except openai.APITimeoutError as error:
            raise _lost_or_late(error, error.__cause__) from error
        except httpx2.RequestError as error:
            raise _lost_or_late(error, error) from error
        except TimeoutError as error:
            raise openai.APITimeoutError(request=self._request) from error
        except aiohttp.ClientError as error:  # what the SDK's transport does not know
            raise openai.APIConnectionError(request=self._request) from error
        return ChatResult(generations=[ChatGeneration(message=answer.message())])

    async def _read(self, payload: Mapping[str, Any], answer: Answer) -> None:
        # What is sent as it is need not be compared with the SDK's types, which takes as long as all the rest.
        sent = {"model": payload["model"], "messages": [], "stream": True, "extra_body": payload}
        loop, longest = asyncio.get_running_loop(), self._longest_silence
        async with (
            asyncio.timeout(longest) as silence,
            self.async_client.with_streaming_response.create(**sent) as response,
        ):
            request = response.http_request
            async for chunks in _chunks(_received(response)):
                silence.reschedule(loop.time() + longest)
                answer.take(chunks, request)

    @property
    def _longest_silence(self) -> float:
        """Seconds without a word after which a call is given up.

        aiohttp's own timeout is a little shorter. It does not run while a request is sent, and is lost when the parser
        fails in the middle of an answer.
        """
        assert isinstance(self.request_timeout, httpx2.Timeout)
        return (self.request_timeout.read or 0.0) + LATER_SECONDS

    @property
    def _request(self) -> httpx2.Request:
        """Stands for one of which no more is known."""
        return httpx2.Request("POST", str(self.openai_api_base))


async def _received(response: AsyncAPIResponse[Any]) -> AsyncIterator[bytes]:
    """The body as it comes. Raises `httpx2.RequestError`."""
    try:
        async for piece in response.iter_bytes():
            yield piece
    except (aiohttp.ClientError, RuntimeError) as error:  # aiohttp's, of a connection that was closed
        raise httpx2.ReadError(str(error), request=response.http_request) from error


def _lost_or_late(
    error: openai.APITimeoutError | httpx2.RequestError, cause: BaseException | None
) -> openai.APIConnectionError:
    """The SDK's transport calls every lost connection a timeout; what aiohttp said of it is the cause of its error."""
    late = isinstance(cause, httpx2.TimeoutException) and isinstance(cause.__cause__, TimeoutError)
    return (openai.APITimeoutError if late else openai.APIConnectionError)(request=error.request)


@dataclass(kw_only=True)
class _Call:
    index: int | None
    id: str | None
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    """Pieces of JSON."""

    def ends_before(self, id: str | None, name: str | None) -> bool:
        """A piece with this id and name begins another call, though its index is ours."""
        if not name or not self.name:
            return False  # the first piece of a call names it; some endpoints give each piece an id of its own
        return id != self.id if id and self.id else name != self.name


class Answer:
    """What the chunks add up to."""

    def __init__(self, tokens: TokenStream) -> None:
        self._tokens = tokens
        self._calls: list[_Call] = []
        self._half = ""

    def take(self, chunks: list[bytes], request: httpx2.Request) -> None:
        """Chunks that came together; their text goes on as one piece, also the text before one that is no chunk."""
        texts = [self._half]
        try:
            texts.extend(self._read(_parsed(chunk), request) for chunk in chunks)
        finally:
            self._pass_on("".join(texts))

    def _pass_on(self, text: str) -> None:
        # An emoji may come in two halves of a surrogate pair: the first one waits for its other.
        self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        if self._half:
            text = text[:-1]
        if text:
            self._tokens.take(text)

    def message(self) -> AIMessage:
        calls = [_whole(call) for call in self._calls]
        return AIMessage(
            content=self._tokens.text,
            tool_calls=[tool_call(name=name, args=args, id="") for name, args in calls if isinstance(args, dict)],
            invalid_tool_calls=[
                invalid_tool_call(name=name, args=str(args), id="", error=None)
                for name, args in calls
                if not isinstance(args, dict)
            ],
        )

    def _read(self, chunk: Mapping[str, Any] | None, request: httpx2.Request) -> str:
        """The chunk's text. Chunks without choices are common: they count tokens, or keep the connection open."""
        if chunk is None:
            return ""
        if error := chunk.get("error"):
            message = error.get("message") if isinstance(error, dict) else error
            raise openai.APIError(str(message), request, body=error)
        if usage := chunk.get("usage"):
            self._tokens.usage = _usage(usage)
        text = ""
        for choice in chunk.get("choices") or ():
            if choice and not choice.get("index"):
                text += self._choose(choice)
        return text

    def _choose(self, choice: Mapping[str, Any]) -> str:
        self._tokens.finish_reason = choice.get("finish_reason") or self._tokens.finish_reason
        delta = choice.get("delta") or {}
        for call in delta.get("tool_calls") or ():
            if call:
                self._add(call)
        content = delta.get("content") or delta.get("refusal") or ""
        return content if isinstance(content, str) else _joined(content)

    def _add(self, piece: Mapping[str, Any]) -> None:
        self._tokens.started = True
        function = piece.get("function") or {}
        name, arguments = function.get("name"), function.get("arguments") or ""
        call = self._call(piece.get("index"), piece.get("id"), name)
        call.name = call.name or name or ""
        call.arguments.append(arguments if isinstance(arguments, str) else json.dumps(arguments))

    def _call(self, index: int | None, id: str | None, name: str | None) -> _Call:
        """Endpoints number their calls, or give all the same number, or only ids, or neither."""
        call = next((call for call in reversed(self._calls) if index in (None, call.index)), None)
        if call is None or call.ends_before(id, name):
            call = _Call(index=index, id=id)
            self._calls.append(call)
        return call


def _parsed(chunk: bytes) -> Any:
    try:
        return orjson.loads(chunk)
    except orjson.JSONDecodeError:
        return json.loads(chunk)  # which bears halves of surrogate pairs and NaN


def _joined(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join([part.get("text") or "" for part in parts])


def _whole(call: _Call) -> tuple[str, Any]:
    """Its name, and its arguments as an object, or as they are when they are none."""
    text = storable("".join(call.arguments))
    try:
        arguments = json.loads(text or "{}", strict=False)
        json.dumps(arguments, allow_nan=False)  # NaN and infinities are Python's, not JSON's
    except (ValueError, RecursionError):
        return call.name, text
    return call.name, arguments if isinstance(arguments, dict) else text


def _usage(usage: Mapping[str, Any]) -> UsageMetadata:
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)


async def _chunks(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """The data of the events that came together, to the end of the stream."""
    lines = _Lines()
    async for piece in pieces:
        data = _data(lines.take(piece))
        if DONE in data:
            yield data[: data.index(DONE)]
            await _drain(pieces)
            return
        if data:
            yield data
    last = _data(lines.take(b"\n"))
    if last and last != [DONE]:
        yield last


def _data(lines: list[bytes]) -> list[bytes]:
    data = [line.partition(DATA)[2].strip() for line in lines if line.startswith(STARTS)]
    return [one for one in data if one] if b"" in data else data


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """The answer is whole: what comes after it is of no use, and no failure is one."""
    with suppress(TimeoutError, httpx2.RequestError):
        async with asyncio.timeout(END_SECONDS):
            async for _ in pieces:
                pass


class _Lines:
    """Lines out of pieces that end anywhere."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._size = 0

    def take(self, piece: bytes) -> list[bytes]:
        """The lines that this piece ends. Raises `ValueError` when one becomes too long."""
        if b"\n" not in piece and b"\r" not in piece:
            self._begin(piece)
            return []
        if self._begun:
            piece = b"".join([*self._begun, piece])
            self._begun, self._size = [], 0
        *lines, rest = piece.replace(b"\r", b"\n").split(b"\n")
        if rest:
            self._begin(rest)
        return lines

    def _begin(self, piece: bytes) -> None:
        """Kept until the line's end comes: joined each time, a long line would be copied for each of its pieces."""
        self._begun.append(piece)
        self._size += len(piece)
        if self._size > LONGEST_LINE:
            raise ValueError("A line of the stream is too long.")
