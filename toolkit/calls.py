"""A call as its worker sees it, and one attempt to run it in a host."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from toolkit.catalogue import ToolSpec
from toolkit.errors import NotJson, ToolArgumentsInvalid, ToolError, ToolIncomplete
from toolkit.handler import CallContext, CallHandler, serve
from toolkit.uploads import FileInfo
from toolkit.wire import JSON, Message

# A host keeps to a rate (reports.py); a handler that is slower than even that loses reports, never memory.
_MAX_WAITING_REPORTS = 1000
_END = ("result", "error", "stopped")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call, over all its attempts."""

    spec: ToolSpec
    arguments: Mapping[str, JSON]
    context: CallContext
    files: tuple[FileInfo, ...]
    handler: CallHandler

    def message(self, number: int, scratch: str) -> Message:
        """As it is sent to a host."""
        info = {
            "thread_id": self.context.thread_id,
            "user": self.context.user,
            "idempotency_key": self.context.idempotency_key,
            "files": [asdict(file) for file in self.files],
            "scratch": scratch,
            "storage": self.context.storage,
            "named_sites": self.context.named_sites,
        }
        return {"t": "call", "call": number, "tool": self.spec.name, "arguments": dict(self.arguments), "info": info}


class Moved(Exception):
    """The attempt lost its host: run the call again; `died` when the host ended by itself and the call may be why."""

    def __init__(self, *, died: bool) -> None:
        super().__init__("the call must run again")
        self.died = died


class Attempt:
    """One run of a call in one host. Handles its messages in their order, requests beside each other."""

    def __init__(self, number: int, call: Call, send: Callable[[Message], None], *, alone: bool) -> None:
        self.number = number
        self.call = call
        self.alone = alone  # in a host of its own: what happens to that is its doing
        self.over = asyncio.Event()  # the host runs it no more
        self.begun = False  # the tool's code runs
        self.moved = False
        self._send = send
        self._outcome: asyncio.Future[JSON] = asyncio.get_running_loop().create_future()
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._failures: dict[int, Exception] = {}
        self._pump = asyncio.create_task(self._handle_all())

    async def result(self) -> JSON:
        """What the tool returned. Raises its error, Moved, or what the handler raised."""
        return await self._outcome

    def receive(self, message: Message) -> None:
        """A message of the host about this attempt."""
        kind = message["t"]
        if kind in _END:
            self.over.set()
        if kind == "begun":
            self.begun = True
        elif kind == "abandon":
            if task := self._requests.get(message["request"]):
                task.cancel()
        elif kind not in ("progress", "log") or self._incoming.qsize() < _MAX_WAITING_REPORTS:
            self._incoming.put_nowait(message)

    def fail(self, error: Exception) -> None:
        """End it from outside: its host is gone or is to be left."""
        if not self._outcome.done():
            self._outcome.set_exception(error)

    def move(self, *, died: bool) -> None:
        """Leave the host: the call runs again in another one."""
        if not self.over.is_set():
            self.moved = True
            self.fail(Moved(died=died))

    async def close(self) -> None:
        """Stop handling; what a handler is doing for the tool is cancelled and awaited."""
        self._outcome.cancel()
        tasks = [self._pump, *self._requests.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle_all(self) -> None:
        while not self._outcome.done():
            message = await self._incoming.get()
            try:
                await self._handle(message)
            except Exception as error:  # noqa: BLE001 - the handler's: it belongs to whoever awaits the call
                self.fail(error)

    async def _handle(self, message: Message) -> None:
        match message["t"]:
            case "progress":
                await self.call.handler.progress(message["done"], message["total"], message["message"])
            case "log":
                await self.call.handler.log(message["level"], message["message"])
            case "request":
                self._begin_request(message)
            case "result":
                if not self._outcome.done():
                    self._outcome.set_result(message["value"])
            case "error":
                self.fail(self._error(message))
            case "stopped":
                self.fail(ToolError(f"The tool {self.call.spec.name} was stopped."))

    def _error(self, message: Message) -> Exception:
        match message["kind"]:
            case "arguments":
                return ToolArgumentsInvalid(message["message"], message["fields"])
            case "incomplete":
                return ToolIncomplete(message["message"], message["result"])
            case "request":
                return self._failures.get(message["failed"]) or ToolError(message["message"])
        return ToolError(message["message"])

    def _begin_request(self, message: Message) -> None:
        number = message["request"]
        task = asyncio.create_task(self._serve(number, message["method"], message["fields"]))
        self._requests[number] = task
        task.add_done_callback(lambda _: self._requests.pop(number, None))

    async def _serve(self, number: int, method: str, fields: Message) -> None:
        answer = {"t": "answer", "call": self.number, "request": number}
        try:
            value = await serve(self.call.handler, method, fields)
            self._send({**answer, "value": value})
        except NotJson as error:
            self._send({**answer, "error": f"The answer to {method} is not JSON: {error}."})
        except Exception as error:  # noqa: BLE001 - crosses into the tool, which may catch it; else it ends the call
            self._failures[number] = error
            self._send({**answer, "error": str(error)[:4000]})
