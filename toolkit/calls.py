"""A tool call on the worker's side, and one attempt to run it in a host."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from background import cancel_and_wait
from toolkit.catalogue import ToolSpec
from toolkit.context import CallInfo
from toolkit.errors import NotJson, ToolArgumentsInvalid, ToolError, ToolIncomplete
from toolkit.handler import ABANDONED, Begin, CallContext, CallHandler, serve
from toolkit.messages import (
    Abandon,
    Answer,
    End,
    Failed,
    FailedRequest,
    Failure,
    Incomplete,
    Log,
    OfCall,
    Plan,
    Progress,
    Refusal,
    Report,
    Request,
    Result,
    Source,
    StartCall,
    Stopped,
    Text,
    ToHost,
    WrongArguments,
)
from toolkit.uploads import FileInfo
from toolkit.wire import JSON

MAX_WAITING_REPORTS = 1000
"""A host limits its reports (reports.py); a handler that is still slower loses some, which bounds the memory."""
MAX_SENTENCE = 4000
"""Characters of an error that is sent to a tool."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call, over all its attempts."""

    spec: ToolSpec
    arguments: Mapping[str, JSON]
    context: CallContext
    files: tuple[FileInfo, ...]
    handler: CallHandler

    def start(self, number: int, scratch: str) -> StartCall:
        """Returns the message that starts the call in a host."""
        info = CallInfo(
            thread_id=self.context.thread_id,
            user=self.context.user,
            idempotency_key=self.context.idempotency_key,
            files=self.files,
            scratch=scratch,
            storage=self.context.storage,
            named_sites=self.context.named_sites,
            job=self.context.job,
            step=self.context.step,
            partial=self.context.partial,
            offline=self.context.offline,
            turn=self.context.turn,
        )
        return StartCall(call=number, tool=self.spec.name, arguments=dict(self.arguments), info=info)


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """One half of the calls that were in a host when it died. They run together again, apart from the other half."""

    host: int
    half: int
    size: int


class Moved(Exception):
    """The attempt lost its host, so the call must run again. `suspects`: the host died, perhaps because of the call."""

    def __init__(self, suspects: Suspects | None = None) -> None:
        super().__init__("the call must run again")
        self.suspects = suspects


class Attempt:
    """One attempt at a call, in one host. Handles its messages in order, its requests concurrently."""

    def __init__(self, number: int, call: Call, send: Callable[[ToHost], None], *, alone: bool) -> None:
        self.number = number
        self.call = call
        self.alone = alone  # its host runs no other call, so only this call can crash it
        self.over = asyncio.Event()  # the host no longer runs it
        self.begun = False  # the tool's code has started
        self.moved = False
        self._send = send
        self._outcome: asyncio.Future[JSON] = asyncio.get_running_loop().create_future()
        self._incoming: asyncio.Queue[Report | Request | End] = asyncio.Queue()
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._failures: dict[int, Exception] = {}
        self._pump = asyncio.create_task(self._handle_all())

    async def result(self) -> JSON:
        """Returns the tool's result. Raises its error, Moved, or what the handler raised."""
        return await self._outcome

    def receive(self, message: OfCall) -> None:
        """Handle a message of the host about this attempt."""
        match message:
            case Request(asked=Begin()):
                self._begin(message)
            case Abandon():
                if task := self._requests.get(message.request):
                    task.cancel(ABANDONED)
            case Progress() | Log() | Plan() | Source():
                if self._incoming.qsize() < MAX_WAITING_REPORTS:
                    self._incoming.put_nowait(message)
            case Request() | Text():
                self._incoming.put_nowait(message)
            case Result() | Incomplete() | WrongArguments() | FailedRequest() | Failed() | Stopped():
                self.over.set()
                self._incoming.put_nowait(message)
            case _:
                assert_never(message)

    def _begin(self, request: Request) -> None:
        """Does nothing after the call has moved, because its cancel is already on the way to the host."""
        if not self.moved:
            self.begun = True
            self._send(Answer(call=self.number, request=request.request, reply=None))

    def fail(self, error: Exception) -> None:
        """End the attempt from outside: its host is gone, or the attempt must leave it."""
        if not self._outcome.done():
            self._outcome.set_exception(error)

    def move(self, suspects: Suspects | None = None) -> None:
        """Leave the host; the call then runs again in another one."""
        if not self.over.is_set():
            self.moved = True
            self.fail(Moved(suspects))

    async def close(self) -> None:
        """Stop handling messages; cancel and await the requests that a handler works on."""
        self._outcome.cancel()
        await cancel_and_wait(self._pump, *self._requests.values())

    async def _handle_all(self) -> None:
        while not self._outcome.done():
            message = await self._incoming.get()
            try:
                await self._handle(message)
            except Exception as error:  # noqa: BLE001 - the handler's error goes to the caller that awaits the result
                self.fail(error)

    async def _handle(self, message: Report | Request | End) -> None:
        match message:
            case Progress():
                await self.call.handler.progress(message.done, message.total, message.message)
            case Log():
                await self.call.handler.log(message.level, message.message)
            case Plan():
                await self.call.handler.plan([(text, status) for text, status in message.items])
            case Source():
                await self.call.handler.source(
                    message.title, url=message.url, file_id=message.file_id, page=message.page
                )
            case Text():
                await self.call.handler.write(message.text, message.place, message.piece)
            case Request():
                self._begin_request(message)
            case Result():
                if not self._outcome.done():
                    self._outcome.set_result(message.value)
            case _:
                self.fail(self._error(message))

    def _error(self, failure: Failure) -> Exception:
        match failure:
            case Incomplete():
                return ToolIncomplete(failure.message, failure.result)
            case WrongArguments():
                return ToolArgumentsInvalid(failure.message, failure.fields)
            case FailedRequest():
                return self._failures.get(failure.request) or ToolError(failure.message)
            case Failed():
                return ToolError(failure.message)
            case Stopped():
                return ToolError(f"The {self.call.spec.kind} {self.call.spec.name} was stopped.")
            case _:
                assert_never(failure)

    def _begin_request(self, request: Request) -> None:
        number = request.request
        task = asyncio.create_task(self._serve(request))
        self._requests[number] = task
        task.add_done_callback(lambda _: self._requests.pop(number, None))

    async def _serve(self, request: Request) -> None:
        try:
            reply = await serve(self.call.handler, request.asked)
            self._send(Answer(call=self.number, request=request.request, reply=reply))
        except NotJson as error:
            self._refuse(request, f"The reply to {type(request.asked).__name__} is not JSON: {error}.")
        except Exception as error:  # noqa: BLE001 - goes to the tool, which may catch it; else it ends the call
            self._failures[request.request] = error
            self._refuse(request, str(error)[:MAX_SENTENCE])

    def _refuse(self, request: Request, sentence: str) -> None:
        self._send(Refusal(call=self.number, request=request.request, message=sentence))
