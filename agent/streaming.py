"""`ChatOpenAI` that reads its stream itself. The SDK makes validated objects of every chunk and LangChain makes its own
of those, which was 72 % of a worker's time; an answer needs three fields of a chunk."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2  # the SDK stands on it, and lets its errors through while a stream is read
import openai
import orjson
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr

from agent.calls import TokenStream

DATA = b"data:"
DONE = b"[DONE]"


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
        async with self.async_client.with_streaming_response.create(**payload) as response:
            request = response.http_request
            async for chunks in _chunks(response.iter_bytes(), request):
                answer.take(chunks, request)
        return ChatResult(generations=[ChatGeneration(message=answer.message())])


@dataclass(kw_only=True)
class _Call:
    name: str = ""
    arguments: str = ""


class Answer:
    """What the chunks add up to."""

    def __init__(self, tokens: TokenStream) -> None:
        self._tokens = tokens
        self._calls: dict[int, _Call] = {}

    def take(self, chunks: list[bytes], request: httpx2.Request) -> None:
        """Chunks that came together; their text goes on as one piece."""
        text = "".join([self._read(orjson.loads(chunk), request) for chunk in chunks])
        if text:
            self._tokens.take(text)

    def message(self) -> AIMessage:
        calls = [_whole(call) for call in self._calls.values()]
        return AIMessage(
            content=self._tokens.text,
            tool_calls=[tool_call(name=name, args=args, id="") for name, args in calls if isinstance(args, dict)],
            invalid_tool_calls=[
                invalid_tool_call(name=name, args=str(args), id="", error=None)
                for name, args in calls
                if not isinstance(args, dict)
            ],
        )

    def _read(self, chunk: Mapping[str, Any], request: httpx2.Request) -> str:
        """The chunk's text."""
        if error := chunk.get("error"):
            message = error.get("message") if isinstance(error, dict) else error
            raise openai.APIError(str(message), request, body=error)
        if usage := chunk.get("usage"):
            self._tokens.usage = _usage(usage)
        text = ""
        for choice in chunk["choices"] or ():
            self._tokens.finish_reason = choice.get("finish_reason") or self._tokens.finish_reason
            delta = choice.get("delta") or {}
            text += delta.get("content") or delta.get("refusal") or ""
            for call in delta.get("tool_calls") or ():
                self._add(call)
        return text

    def _add(self, piece: Mapping[str, Any]) -> None:
        self._tokens.started = True
        call = self._calls.setdefault(piece["index"], _Call())
        function = piece.get("function") or {}
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""


def _whole(call: _Call) -> tuple[str, Any]:
    """Its name, and its arguments as an object, or as they are when they are none."""
    try:
        arguments = json.loads(call.arguments or "{}", strict=False)
    except ValueError:
        return call.name, call.arguments
    return call.name, arguments if isinstance(arguments, dict) else call.arguments


def _usage(usage: Mapping[str, Any]) -> UsageMetadata:
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)


async def _chunks(pieces: AsyncIterator[bytes], request: httpx2.Request) -> AsyncIterator[list[bytes]]:
    """The data of the events that came together, to the end of the stream."""
    rest = b""
    try:
        async for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            data = [line[len(DATA) :].strip() for line in lines if line.startswith(DATA)]
            if DONE in data:
                yield data[: data.index(DONE)]
                return
            if data:
                yield data
    except httpx2.TimeoutException as error:
        raise openai.APITimeoutError(request=request) from error
    except httpx2.TransportError as error:
        raise openai.APIConnectionError(request=request) from error
