"""A `ChatOpenAI` that parses the stream itself. The SDK and LangChain each build objects from every chunk, which took
72 % of a worker's time; an answer needs three fields of a chunk."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import aiohttp
import httpx2  # the SDK uses it, and does not wrap its errors while a stream is read
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

from models.calls import TokenStream, storable
from names import REASONING

DATA = b"data:"
STARTS = (DATA, codecs.BOM_UTF8 + DATA)
DONE = b"[DONE]"
MAX_LINE_BYTES = 16 * 1024 * 1024
"""No chunk is this long: a longer line means that the body is not a stream of chunks."""
MOVE_SECONDS = 0.25
"""The limit on silence is moved at most this often, so it is this much longer than asked for. (A timer for each chunk
takes a twelfth of a worker's time.)"""
MAX_CALLS = 256
"""Calls in one answer, which run at once. An answer with more ends there, like one with too many words."""
CALL_BYTES = 64
"""The size that a call adds to an answer, in addition to its name and its arguments."""
END_SECONDS = 0.1
"""A complete answer waits this long for the end of its body, without which its connection cannot be reused."""


class StreamedChat(ChatOpenAI):
    """LangChain builds the requests; the SDK does HTTP and its errors. Tokens go to the stream of `with_tokens`.

    Raises the SDK's errors, and Python's own errors (such as `TypeError`) for malformed chunks.
    """

    idle_seconds: float
    """A call fails after so many seconds without data, or `MOVE_SECONDS` later."""
    _tokens: TokenStream = PrivateAttr()

    def with_tokens(self, tokens: TokenStream) -> StreamedChat:
        _ = self._serialized  # copies take LangChain's description of the model along: each making its own is slow
        model = self.model_copy()
        model._tokens = tokens
        return model

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - theirs
        *,
        verbatim: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """verbatim: the fields of the request, messages included, in OpenAI's form; sent in place of `messages`."""
        if self.stream_usage:
            kwargs["stream_options"] = {"include_usage": True}
        if verbatim is not None:
            payload = {**verbatim, **kwargs, "model": self.model_name, "stream": True}
        else:
            payload = self._get_request_payload(messages, stop=stop, **kwargs, stream=True)
            self._return_reasoning(messages, payload["messages"])
        answer = Answer(self._tokens, verbatim=verbatim is not None)
        try:
            await self._read(payload, answer)
        except openai.APITimeoutError as error:
            raise _lost_or_late(error, error.__cause__) from error
        except httpx2.RequestError as error:
            raise _lost_or_late(error, error) from error
        except TimeoutError as error:
            raise openai.APITimeoutError(request=self._request) from error
        except aiohttp.ClientError as error:  # the SDK's transport does not translate these
            raise openai.APIConnectionError(request=self._request) from error
        return ChatResult(generations=[ChatGeneration(message=answer.message())])

    def _return_reasoning(self, messages: Sequence[BaseMessage], sent: Sequence[dict[str, Any]]) -> None:
        """Adds this model's reasoning to its earlier calls. LangChain leaves it out, and some endpoints require it."""
        for message, one in zip(messages, sent, strict=True):
            if message.response_metadata.get("model_name") == self.model_name:
                one.update({name: text for name, text in message.additional_kwargs.items() if name in REASONING})

    async def _read(self, payload: Mapping[str, Any], answer: Answer) -> None:
        # `extra_body` skips the SDK's check of the payload against its types, which takes as long as everything else.
        sent = {"model": payload["model"], "messages": [], "stream": True, "extra_body": payload}
        # One limit for all phases: aiohttp's own does not run while a request is sent, is lost when its parser fails in
        # the middle of an answer, and costs a timer for each chunk.
        loop, tokens, longest = asyncio.get_running_loop(), self._tokens, self.idle_seconds + MOVE_SECONDS
        async with (
            asyncio.timeout(longest) as silence,
            self.async_client.with_streaming_response.create(**sent) as response,
        ):
            request, moved = response.http_request, 0.0
            async for chunks in _chunks(_received(response)):
                if loop.time() - moved > MOVE_SECONDS:
                    moved = loop.time()
                    silence.reschedule(moved + longest)
                answer.take(chunks, request)
                if tokens.is_too_long:
                    return
                if (room := tokens.room()) is not None:
                    silence.reschedule(None)  # the silence is ours
                    await room
                    moved = loop.time()
                    silence.reschedule(moved + longest)

    @property
    def _request(self) -> httpx2.Request:
        """A placeholder for errors that carry no request."""
        return httpx2.Request("POST", str(self.openai_api_base))


async def _received(response: AsyncAPIResponse[Any]) -> AsyncIterator[bytes]:
    """Yields the body as it arrives. Raises `httpx2.RequestError`."""
    try:
        async for piece in response.iter_bytes():
            yield piece
    except (aiohttp.ClientError, RuntimeError) as error:  # aiohttp raises RuntimeError for a closed connection
        raise httpx2.ReadError(str(error), request=response.http_request) from error


def _lost_or_late(
    error: openai.APITimeoutError | httpx2.RequestError, cause: BaseException | None
) -> openai.APIConnectionError:
    """Tells timeouts from lost connections. The SDK reports both as timeouts; aiohttp's error is their cause."""
    late = isinstance(cause, httpx2.TimeoutException) and isinstance(cause.__cause__, TimeoutError)
    return (openai.APITimeoutError if late else openai.APIConnectionError)(request=error.request)


@dataclass(kw_only=True)
class _Call:
    index: int | None
    id: str | None
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    """Fragments of JSON."""

    @property
    def text(self) -> str:
        return storable("".join(self.arguments))

    def ends_before(self, id: str | None, name: str | None) -> bool:
        """Whether a piece with this id and name begins another call, though its index is the same."""
        if not name or not self.name:
            return False  # only the first piece of a call has a name; some endpoints give every piece a new id
        return id != self.id if id and self.id else name != self.name


class Answer:
    """The answer that the chunks add up to."""

    def __init__(self, tokens: TokenStream, *, verbatim: bool = False) -> None:
        """verbatim: the arguments of its calls stay the text that arrived, and its refusal is not part of its text."""
        self._tokens = tokens
        self._verbatim = verbatim
        self._calls: list[_Call] = []
        self._half = ""
        self._texts: list[str] = []  # of chunks, not yet passed on

    def take(self, chunks: list[bytes], request: httpx2.Request) -> None:
        """Adds chunks that arrived together. Passes their text on as one piece, even if a later one is malformed."""
        try:
            for chunk in chunks:
                self._texts.append(self._read(_parsed(chunk), request))
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        text = self._half + "".join(self._texts)
        self._texts.clear()
        # An emoji may arrive as two halves of a surrogate pair: keep the first half until the second arrives.
        self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        if self._half:
            text = text[:-1]
        if text:
            self._tokens.take(text)

    def message(self) -> AIMessage:
        calls = [(call.name, call.text) if self._verbatim else _whole(call) for call in self._calls]
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
        """Returns the chunk's text. Chunks without choices report usage or keep the connection open."""
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
        if isinstance(logprobs := choice.get("logprobs"), dict):
            self._tokens.logprobs += logprobs.get("content") or ()
        delta = choice.get("delta") or {}
        if any(name in delta for name in REASONING):
            self._reason(delta)
        for call in delta.get("tool_calls") or ():
            if call:
                self._add(call)
        content, refusal = delta.get("content") or "", delta.get("refusal") or ""
        if refusal and self._verbatim:
            self._tokens.refuse(refusal)
        elif refusal and not content:
            content = refusal
        return content if isinstance(content, str) else _joined(content)

    def _reason(self, delta: Mapping[str, Any]) -> None:
        said = [(delta[name], name) for name in REASONING if isinstance(delta.get(name), str)]
        if said:
            self._pass_on()  # the text before it
            self._tokens.reason(*next(filter(itemgetter(0), said), said[0]))

    def _add(self, piece: Mapping[str, Any]) -> None:
        self._tokens.started = True
        function = piece.get("function") or {}
        name, arguments = function.get("name"), function.get("arguments") or ""
        call = self._call(piece.get("index"), piece.get("id"), name)
        call.name = call.name or storable(self._tokens.within_limit(name or ""))
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call.arguments.append(self._tokens.within_limit(text))

    def _call(self, index: int | None, id: str | None, name: str | None) -> _Call:
        """Returns the piece's call. Endpoints send an index per call, one index for all, only ids, or neither."""
        call = next((call for call in reversed(self._calls) if index in (None, call.index)), None)
        if call is None or call.ends_before(id, name):
            self._tokens.within_limit(" " * CALL_BYTES)
            call = _Call(index=index, id=id)
            if len(self._calls) < MAX_CALLS:
                self._calls.append(call)
            else:
                self._tokens.is_too_long = True
        return call


def _parsed(chunk: bytes) -> Any:
    try:
        return orjson.loads(chunk)
    except orjson.JSONDecodeError:
        return json.loads(chunk)  # accepts unpaired surrogates and NaN


def _joined(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join([part.get("text") or "" for part in parts])


def _whole(call: _Call) -> tuple[str, Any]:
    """Returns the call's name and its arguments: an object, or the text if it is not a JSON object."""
    text = call.text
    try:
        arguments = json.loads(text or "{}", strict=False)
        json.dumps(arguments, allow_nan=False)  # Python accepts NaN and infinities, JSON does not
    except (ValueError, RecursionError):
        return call.name, text
    return call.name, arguments if isinstance(arguments, dict) else text


def _usage(usage: Mapping[str, Any]) -> UsageMetadata:
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return UsageMetadata(
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        input_token_details={"cache_read": _among(usage.get("prompt_tokens_details"), "cached_tokens")},
        output_token_details={"reasoning": _among(usage.get("completion_tokens_details"), "reasoning_tokens")},
    )


def _among(details: Any, name: str) -> int:
    count = details.get(name) if isinstance(details, dict) else None
    return count if isinstance(count, int) else 0


async def _chunks(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Yields the data of events that arrived together, until the stream ends."""
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
    """Reads to the end of the body. The answer is complete, so the rest and its failures are ignored."""
    with suppress(TimeoutError, httpx2.RequestError):
        async with asyncio.timeout(END_SECONDS):
            async for _ in pieces:
                pass


class _Lines:
    """Splits a stream of arbitrary pieces into lines."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._size = 0

    def take(self, piece: bytes) -> list[bytes]:
        """Returns the lines that this piece completes. Raises `ValueError` when a line becomes too long."""
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
        """Keeps the pieces of an unfinished line. Joining them at each piece would copy a long line many times."""
        self._begun.append(piece)
        self._size += len(piece)
        if self._size > MAX_LINE_BYTES:
            raise ValueError("A line of the stream is too long.")
