"""A scripted OpenAI-compatible endpoint over real HTTP, in a thread with a loop of its own.

The last user message is the script: `key=value` words anywhere in it.

    tokens=120      answer with the words w0 … w119             rate=40       tokens per second (0: all at once)
    word=b          … with the words b0 … b119                  delay=1.5     seconds before the first token
    hang=60@40      be silent for 60 s after 40 tokens          cut=40        drop the connection after 40 tokens
    eof=40          end after 40 tokens without finish_reason   finish=length another finish_reason
    malformed=40    a broken chunk after 40 tokens              error=40      an error chunk after 40 tokens, the end
    status=429      answer with this status                     retry_after=1 … and this Retry-After header
    times=2         the faults above (from delay on) hit only the first two calls of this script and turn
    call NAME {…}   call a tool; several are called in turn, joined by `&` at once
    hold=40,80      wait after 40 tokens, and after 80, until the test calls `release`
    hold_turn=1     … only in the answer to the first round of tool results
    paragraph=50    a new paragraph after every 50 words
    flood=200       … with so many MB of `FLOOD`, as fast as the client reads
    say=10          ten words s0 … s9 before each round of calls
    same_ids=1      every round of calls uses the same ids
    refuse=1        the words are a refusal
    think=30        so many words t0 … before the answer, in the field `reasoning_content`, or think_as=FIELD
    think_again=10  … and so many more after 10 tokens of the answer
    think_back=1    refuse rounds of calls that come back without what was thought before them
    hold_think=20   wait after 20 of them until the test calls `release`
    cut_think=20    drop the connection after 20 of them, like the faults above
    cached=3        so many tokens had been read before, and with reasoning=2 so many were written besides

After tool results the answer starts with "The tool answered: …".
"""

import asyncio
import json
import re
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from tests.waiting import until

HOLD_SECONDS = 120
FLOOD = "never ending words, "
FAULTS = ("cut_think", "delay", "hang", "cut", "eof", "malformed", "error", "status", "retry_after", "finish")
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found"}


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class Script:
    """What one request is to be answered with."""

    options: dict[str, str]
    rounds: tuple[tuple[ToolCall, ...], ...]

    def number(self, name: str, default: float = 0) -> float:
        return float(self.options.get(name, default))

    def after(self, name: str) -> int | None:
        """The number of tokens after which the fault `name` strikes."""
        value = self.options.get(name)
        return None if value is None else int(value.split("@")[-1])

    def without_faults(self) -> "Script":
        kept = {name: value for name, value in self.options.items() if name not in FAULTS}
        return Script(options=kept, rounds=self.rounds)


@dataclass(kw_only=True)
class Request:
    """One request as the endpoint saw it; times are `time.monotonic()`."""

    number: int
    received_at: float
    script: str = ""
    turn: int = 0  # rounds of tool calls already answered
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    tokens_sent: int = 0
    first_token_at: float | None = None
    finished_at: float | None = None
    disconnected_at: float | None = None  # the client closed before the answer's end

    @property
    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.body.get("messages", [])
        return messages


def script(text: str = "", /, **options: object) -> str:
    """A message with these options that no other test sends."""
    named = {**options, "id": uuid.uuid4().hex[:8]}
    return " ".join([text, *(f"{name}={value}" for name, value in named.items())]).strip()


class ConnectionCut(Exception):
    """The script wants the connection dropped."""


class Endpoint:
    """`with Endpoint() as endpoint:` serves on `endpoint.url` until the block ends."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.models = ["test-model"]
        self.key = ""  # the only one that lists the models, if set
        """What it lists."""
        self._requests: list[Request] = []
        self._calls: Counter[tuple[str, int]] = Counter()
        self._released: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="endpoint", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def requests(self, containing: str = "") -> list[Request]:
        """The requests so far whose script contains the text, oldest first."""
        return [request for request in list(self._requests) if containing in request.script]

    def release(self, script: str) -> None:
        """Open the next `hold` of this script, for every request that waits at it or will come to it."""
        self._released[script] += 1

    def is_released(self, script: str, hold: int = 0) -> bool:
        return self._released[script] > hold

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._socket)
        await self._stopping.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        early: bytes | None = b""
        try:
            while early is not None:
                early = await self._exchange(early, reader, writer)
        except (ConnectionCut, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the end of a connection is an outcome like any other; what the tests ask for is in the request
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _exchange(self, early: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """One request and its answer. Takes and gives what was read early of the next one; None: there is no next."""
        head = (early + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:]) if name}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        if (method, path) == ("GET", "/v1/models"):
            if self.key and headers.get("authorization") != f"Bearer {self.key}":
                await answer_json(writer, 401, openai_error("Incorrect API key provided.", "invalid_request_error"))
                return b""
            await answer_json(
                writer, 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
            )
            return b""
        if (method, path) != ("POST", "/v1/chat/completions"):
            await answer_json(writer, 404, openai_error("no such route", "invalid_request_error"))
            return b""
        request, script = self._received(json.loads(content), headers)
        return await self._answer_while_connected(Answer(self, request, script, writer), reader)

    def _received(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[Request, Script]:
        text, turn = script_of(body["messages"])
        request = Request(
            number=len(self._requests),
            received_at=time.monotonic(),
            script=text,
            turn=turn,
            body=body,
            headers=headers,
        )
        self._requests.append(request)
        self._calls[text, turn] += 1
        script = parse(text)
        if self._calls[text, turn] > script.number("times", float("inf")):
            script = script.without_faults()
        return request, script

    async def _answer_while_connected(self, answer: "Answer", reader: asyncio.StreamReader) -> bytes | None:
        """Sends the answer and notices at once when the client closes in the middle of it; None: it did."""
        sending = asyncio.ensure_future(answer.send())
        closing = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({sending, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() or isinstance(sending.exception(), ConnectionError):  # its write may notice it first
                answer.request.disconnected_at = time.monotonic()
                return None
            sending.result()
            answer.request.finished_at = time.monotonic()
        finally:
            sending.cancel()
            closing.cancel()
            await asyncio.gather(sending, closing, return_exceptions=True)
        # A quick client's next request has begun already; an empty read is the end of the connection.
        return b"" if closing.cancelled() else closing.result() or None


class Answer:
    """One answer on its way, streamed or whole."""

    def __init__(self, endpoint: Endpoint, request: Request, script: Script, writer: asyncio.StreamWriter) -> None:
        self.endpoint = endpoint
        self.request = request
        self.script = script
        self.writer = writer
        self.calls = script.rounds[request.turn] if request.turn < len(script.rounds) else ()
        self.envelope = {
            "id": f"chatcmpl-{request.number}",
            "created": int(time.time()),
            "model": request.body.get("model"),
        }

    async def send(self) -> None:
        status = int(self.script.number("status", 200))
        if self.script.after("cut") == 0:
            raise ConnectionCut
        self.request.status = status
        if status != 200:
            await self._refuse(status)
        elif self._forgets_thoughts():
            await answer_json(self.writer, 400, openai_error("reasoning must be passed back", "invalid_request_error"))
        elif self.request.body.get("stream"):
            await self._stream()
        else:
            await self._whole()

    def _forgets_thoughts(self) -> bool:
        name = self.script.options.get("think_as", "reasoning_content")
        asked = [message for message in self.request.messages if message.get("tool_calls")]
        return bool(self.script.number("think_back")) and any(not one.get(name) for one in asked)

    async def _refuse(self, status: int) -> None:
        retry_after = self.script.options.get("retry_after")
        extra = {} if retry_after is None else {"Retry-After": retry_after}
        await answer_json(self.writer, status, openai_error(f"scripted status {status}", "server_error"), extra)

    async def _whole(self) -> None:
        tokens = [token async for token in self._tokens()]
        self.request.tokens_sent = len(tokens)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(tokens) or None}
        if self.calls:
            message["tool_calls"] = [self._tool_call(index, call) for index, call in enumerate(self.calls)]
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason()}
        body = {**self.envelope, "object": "chat.completion", "choices": [choice], "usage": self._usage()}
        await answer_json(self.writer, 200, body)

    async def _stream(self) -> None:
        self.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self._delta({"role": "assistant", "content": ""})
        await self._flood()
        await self._think()
        if await self._stream_text():
            for index, call in enumerate(self.calls):
                await self._stream_call(index, call)
            await self._delta({}, self._finish_reason())
            if self.request.body.get("stream_options", {}).get("include_usage"):
                await self._chunk({**self.envelope, "choices": [], "usage": self._usage()})
            await self._event("[DONE]")
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def _flood(self) -> None:
        choice = {"index": 0, "delta": {"content": FLOOD}, "finish_reason": None}
        chunk = {**self.envelope, "object": "chat.completion.chunk", "choices": [choice]}
        line = f"data: {json.dumps(chunk)}\n\n".encode()
        block = b"%x\r\n%b\r\n" % (len(line) * 100, line * 100)
        for _ in range(int(self.script.number("flood") * 1_000_000 / len(FLOOD) / 100)):
            self.writer.write(block)
            await self.writer.drain()
            self.request.tokens_sent += 100

    async def _think(self, first: int = 0) -> None:
        field, hold = self.script.options.get("think_as", "reasoning_content"), self.script.after("hold_think")
        for index in range(first, first + int(self.script.number("think"))):
            if index == self.script.after("cut_think"):
                raise ConnectionCut
            if index == hold:
                text = self.request.script
                released = partial(self.endpoint.is_released, text)
                await until(released, within=HOLD_SECONDS, what=f"release {text}")
            await self._delta({field: f"t{index} "})
            if rate := self.script.number("rate"):
                await asyncio.sleep(1 / rate)

    async def _stream_text(self) -> bool:
        """Sends the tokens; false when the script ends the stream early."""
        async for token in self._tokens():
            sent = self.request.tokens_sent
            if sent == self.script.after("think_again"):
                await self._think(int(self.script.number("think")))
            if sent == self.script.after("eof"):
                return False
            if sent == self.script.after("error"):
                await self._chunk(openai_error("scripted failure in mid-stream", "server_error"))
                return False
            if sent == self.script.after("malformed"):
                await self._event('{"choices": [{"delta": {"content": "x')
            field = "refusal" if self.script.options.get("refuse") else "content"
            await self._delta({field: token}, logprobs=self._logprobs(token))
            self.request.first_token_at = self.request.first_token_at or time.monotonic()
            self.request.tokens_sent += 1
        return True

    async def _stream_call(self, index: int, call: ToolCall) -> None:
        whole = self._tool_call(index, call)
        opening = {**whole, "index": index, "function": {"name": call.name, "arguments": ""}}
        await self._delta({"tool_calls": [opening]})
        for start in range(0, len(call.arguments), 8):
            piece = call.arguments[start : start + 8]
            await self._delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})

    async def _tokens(self) -> AsyncIterator[str]:
        await asyncio.sleep(self.script.number("delay"))
        rate, begin = self.script.number("rate"), time.monotonic()
        for index, token in enumerate(self._words()):
            if index == self.script.after("cut"):
                raise ConnectionCut
            if index == self.script.after("hang"):
                seconds = float(self.script.options["hang"].split("@")[0])
                await asyncio.sleep(seconds)
                begin += seconds
            begin += await self._held(index)
            if rate:
                await asyncio.sleep(max(0.0, begin + index / rate - time.monotonic()))
            yield token

    async def _held(self, index: int) -> float:
        """Waits at the hold before this token, if there is one; the seconds that took."""
        holds = [int(hold) for hold in self.script.options.get("hold", "").split(",") if hold]
        begin = time.monotonic()
        if index in holds and self.request.turn == self.script.number("hold_turn", self.request.turn):
            waited = self.request.script, holds.index(index)
            await until(partial(self.endpoint.is_released, *waited), within=HOLD_SECONDS, what=f"release {waited}")
        return time.monotonic() - begin

    def _words(self) -> list[str]:
        if self.calls:
            return [f"s{i} " for i in range(int(self.script.number("say")))]
        results = [text_of(m) for m in self.request.messages if m["role"] == "tool"] if self.request.turn else []
        opening = f"The tool answered: {results[-1]} " if results else ""
        word = self.script.options.get("word", "w")
        size = int(self.script.number("paragraph", sys.maxsize))
        ends = ["\n\n" if (i + 1) % size == 0 else " " for i in range(int(self.script.number("tokens", 20)))]
        first, *others = [f"{word}{i}{end}" for i, end in enumerate(ends)]
        return [opening + first, *others]

    def _tool_call(self, index: int, call: ToolCall) -> dict[str, Any]:
        turn = 0 if self.script.options.get("same_ids") else self.request.number
        return {
            "id": f"call_{turn}_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }

    def _finish_reason(self) -> str:
        return "tool_calls" if self.calls else self.script.options.get("finish", "stop")

    def _usage(self) -> dict[str, Any]:
        asked = sum(len(text_of(message).split()) for message in self.request.messages)
        told = self.request.tokens_sent
        usage: dict[str, Any] = {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}
        if "cached" in self.script.options:
            usage["prompt_tokens_details"] = {"cached_tokens": int(self.script.number("cached"))}
            usage["completion_tokens_details"] = {"reasoning_tokens": int(self.script.number("reasoning"))}
        return usage

    def _logprobs(self, token: str) -> dict[str, Any] | None:
        if not self.request.body.get("logprobs"):
            return None
        return {"content": [{"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []}], "refusal": None}

    async def _delta(
        self, delta: dict[str, Any], finish_reason: str | None = None, logprobs: dict[str, Any] | None = None
    ) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        await self._chunk({**self.envelope, "object": "chat.completion.chunk", "choices": [choice]})

    async def _chunk(self, content: dict[str, Any]) -> None:
        await self._event(json.dumps(content))

    async def _event(self, line: str) -> None:
        data = f"data: {line}\n\n".encode()
        self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self.writer.drain()


def script_of(messages: list[dict[str, Any]]) -> tuple[str, int]:
    """The last user message, and how many rounds of tool calls follow it."""
    last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=0)
    rounds = sum(1 for message in messages[last + 1 :] if message.get("tool_calls"))
    return text_of(messages[last]), rounds


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def parse(text: str) -> Script:
    rounds: list[tuple[ToolCall, ...]] = []
    joined = False
    for name, arguments, end in tool_calls(text):
        call = ToolCall(name=name, arguments=arguments)
        if joined:
            rounds[-1] = (*rounds[-1], call)
        else:
            rounds.append((call,))
        joined = text[end:].lstrip().startswith("&")
    return Script(options=dict(re.findall(r"\b([a-z_]+)=(\S+)", text)), rounds=tuple(rounds))


def tool_calls(text: str) -> list[tuple[str, str, int]]:
    """Name, arguments as they are written, and where the call ends in the text."""
    found = []
    for match in re.finditer(r"\bcall (\w+) (?=\{)", text):
        _, end = json.JSONDecoder().raw_decode(text, match.end())
        found.append((match[1], text[match.end() : end], end))
    return found


def openai_error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


async def answer_json(
    writer: asyncio.StreamWriter, status: int, content: dict[str, Any], extra: dict[str, str] | None = None
) -> None:
    body = json.dumps(content).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(extra or {})}
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'Scripted')}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(head.encode() + b"\r\n" + body)
    await writer.drain()
