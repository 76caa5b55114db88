"""A tool call inside its host."""

import asyncio
import contextvars
import ctypes
import errno
import inspect
import itertools
import os
import resource
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from names import SHARED_USER
from toolkit.context import MAX_LOG_LINE
from toolkit.errors import (
    CallCancelled,
    NotJson,
    RequestFailed,
    ToolArgumentsInvalid,
    ToolError,
    ToolIncomplete,
    ToolMisused,
)
from toolkit.handler import Asked, Begin, OpenFile, Reply
from toolkit.messages import (
    Abandon,
    Answer,
    Failed,
    FailedRequest,
    Incomplete,
    Log,
    OfCall,
    Plan,
    Refusal,
    Request,
    Result,
    Source,
    StartCall,
    Stopped,
    Text,
    WrongArguments,
)
from toolkit.output import Fields, Output
from toolkit.reports import Reports
from toolkit.tool import Tool
from toolkit.tracing import own_lines

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

# The call whose code runs. Tasks that a tool starts inherit it, so that they are found when the call ends, and so that
# what they print is known to be the call's.
current_call: contextvars.ContextVar["RunningCall | None"] = contextvars.ContextVar("current_call", default=None)

_request_ids = itertools.count(1)
MAX_THREADS = 64
"""Threads of all `asyncio.to_thread` in one host; with Python's default of 5 or 6, one tool starves the others."""
MAX_SENTENCE = 4000
"""Characters of an error that is sent to the worker."""


class RunningCall:
    """Runs the tool, connects its context to the worker (as its Link) and sends exactly one End."""

    def __init__(
        self,
        start: StartCall,
        tool: Tool[..., Any],
        send: Callable[[OfCall], None],
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[["RunningCall"], None],
        output: Output,
        directories: Sequence[Path] = (),
    ) -> None:
        self._directories = directories  # of the authors' code
        self.id = start.call
        self.tool = tool
        self._arguments = start.arguments
        self._info = start.info
        self._function: Callable[..., Any] = tool.function
        if start.info.partial and tool.partial is not None:
            self._function = _with_known(tool.partial)
        if tool.spec.run_in == "process":
            _use_for_temporary_files(self._info.scratch)
        self._send = send
        self._loop = loop
        self._on_end = on_end
        self._output = output
        self._cancelled = threading.Event()
        self._reports = Reports(self.id, send, loop)
        self._pending: dict[int, Future[Reply]] = {}
        self._threads: set[int] = set()
        self._interrupting = threading.Lock()
        self.forgotten: str | None = None  # the method of the context that was called without `await`
        self.tasks: set[asyncio.Task[Any]] = set()  # on the loop: the tool's own and all that it started

    @property
    def fields(self) -> Fields:
        """What lines of the log say of it."""
        return {"job": self._info.job, "tool": self.tool.name, "call": self._info.step}

    @property
    def _named(self) -> str:
        return f"{self.tool.spec.kind} {self.tool.name}"

    # -- life

    def start(self) -> None:
        """Start the tool on the loop or in a thread. Called on the control thread."""
        if self.tool.is_async:
            self._loop.call_soon_threadsafe(self._start_task)
        else:
            threading.Thread(target=self._run_in_thread, name=self.tool.name, daemon=True).start()

    def cancel(self) -> None:
        """Ask the call to stop: set `cancelled`, fail its requests, cancel the tasks of an async call."""
        self._cancelled.set()
        for request in list(self._pending):
            self._settle(request, CallCancelled())
        if self.tool.is_async:
            self._loop.call_soon_threadsafe(self._cancel_tasks)

    def interrupt(self) -> None:
        """Raise CallCancelled between two bytecodes of the call's threads. The last resort is to kill the host."""
        if self.tool.is_async:
            self._loop.call_soon_threadsafe(self._cancel_tasks)
        with self._interrupting:
            for thread in self._threads:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(CallCancelled))

    def answered(self, answer: Answer) -> None:
        """The worker fulfilled a request."""
        self._settle(answer.request, None, answer.reply)

    def refused(self, refusal: Refusal) -> None:
        """The worker could not fulfil a request."""
        self._settle(refusal.request, RequestFailed(refusal.message, refusal.request))

    # -- Link

    @property
    def cancelled(self) -> bool:
        """Whether the worker has cancelled the call."""
        return self._cancelled.is_set()

    def request(self, asked: Asked) -> "Future[Any]":
        """Send a request to the worker; the future's result is the reply. Raises CallCancelled, NotJson."""
        self._check()
        number = next(_request_ids)
        future: Future[Reply] = Future()
        future.request_id = number  # type: ignore[attr-defined]
        self._pending[number] = future
        try:
            self._send(Request(call=self.id, request=number, asked=asked))
        except NotJson:
            del self._pending[number]
            raise
        if self.cancelled:  # since the check above
            self._settle(number, CallCancelled())
        return future

    async def answer(self, request: "Future[Any]") -> Any:
        """Await the reply. If this is cancelled, the worker is told to abandon the request."""
        try:
            return await asyncio.wrap_future(request)
        except asyncio.CancelledError:
            number: int = request.request_id  # type: ignore[attr-defined]
            self._pending.pop(number, None)
            self._send(Abandon(call=self.id, request=number))
            raise

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Raises CallCancelled."""
        self._check()
        self._reports.progress(done, total, message)

    def log(self, level: str, message: str) -> None:
        """Raises CallCancelled."""
        self._check()
        self._reports.log(level, message)

    def plan(self, items: Sequence[tuple[str, str]]) -> None:
        """Raises CallCancelled."""
        self._check()
        self._send(Plan(call=self.id, items=[[*item] for item in items]))

    def source(self, title: str, *, url: str | None, file_id: str | None, page: int | None) -> None:
        """Raises CallCancelled."""
        self._check()
        self._send(Source(call=self.id, title=title, url=url, file_id=file_id, page=page))

    def write(self, text: str, place: int, piece: int) -> None:
        """Raises CallCancelled."""
        self._check()
        self._send(Text(call=self.id, text=text, place=place, piece=piece))

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within this, a cancel may interrupt the present thread, which works for the call."""
        thread = threading.get_ident()
        with self._interrupting:
            self._threads.add(thread)
        try:
            yield
        finally:
            with self._interrupting:
                self._threads.discard(thread)

    # -- running

    def _run_in_thread(self) -> None:
        current_call.set(self)
        try:
            with self.interruptible():
                value = self._call_sync()
        except BaseException as error:  # noqa: BLE001 - any exception of a tool, also SystemExit, ends this call only
            self._failed(error)
        else:
            self._succeeded(value)

    def _call_sync(self) -> object:
        self.request(Begin()).result()
        checked = self.tool.parameters.check(self._arguments)
        for file in checked.files:
            file.found(self.request(OpenFile(file_id=file.id)).result())
        with _memory_limit(self.tool.spec.memory_mb):
            if self.tool.spec.takes_context:
                return self._function(self.tool.context(self, self._info), **checked.values)
            return self._function(**checked.values)

    def _start_task(self) -> None:
        if self.cancelled:
            self._failed(CallCancelled())
            return
        context = contextvars.copy_context()
        context.run(current_call.set, self)
        self._loop.create_task(self._run_on_loop(), context=context)

    async def _run_on_loop(self) -> None:
        try:
            value = await self._call_async()
        except BaseException as error:  # noqa: BLE001 - as in a thread, also a CancelledError
            self._end_tasks()
            await self._end_threads()
            self._failed(error)
        else:
            self._end_tasks()
            self._succeeded(value)

    async def _call_async(self) -> object:
        await self.answer(self.request(Begin()))
        checked = self.tool.parameters.check(self._arguments)
        for file in checked.files:
            file.found(await self.answer(self.request(OpenFile(file_id=file.id))))
        with _memory_limit(self.tool.spec.memory_mb):
            if self.tool.spec.takes_context:
                return await self._function(self.tool.context(self, self._info), **checked.values)
            return await self._function(**checked.values)

    def _cancel_tasks(self) -> None:
        for task in list(self.tasks):
            task.cancel()

    def _end_tasks(self) -> None:
        """Cancel the tasks that the tool started and did not await: they must not outlive its call."""
        own = asyncio.current_task()
        for task in list(self.tasks):
            if task is not own:
                task.cancel()

    async def _end_threads(self) -> None:
        """Wait for the threads of a cancelled call. If one never ends, the worker kills the host."""
        while self.cancelled and self._threads:  # noqa: ASYNC110 - the end of a thread sets no event of the loop
            await asyncio.sleep(0.01)

    # -- ends

    def _succeeded(self, value: object) -> None:
        if self.forgotten is not None:
            self._failed(ToolMisused(f"`{self.forgotten}` never ran: write `await ctx.{self.forgotten}(…)`"))
            return
        self._reports.flush()
        self._on_end(self)
        self._send_value(Result(call=self.id, value=value))

    def _failed(self, error: BaseException) -> None:
        self._reports.flush()
        self._on_end(self)
        if self.cancelled:
            self._send(Stopped(call=self.id))
        elif isinstance(error, RequestFailed):
            self._send(FailedRequest(call=self.id, request=error.request, message=str(error)))
        elif isinstance(error, ToolArgumentsInvalid):
            self._send(WrongArguments(call=self.id, message=str(error), fields=error.fields))
        elif isinstance(error, ToolIncomplete):
            self._send_value(Incomplete(call=self.id, message=str(error)[:MAX_SENTENCE], result=error.result))
        else:
            self._send_error(self._sentence(error))

    def _sentence(self, error: BaseException) -> str:
        if isinstance(error, ToolError):
            return str(error)
        if isinstance(error, NotJson):
            return f"The {self._named} produced a value that is not JSON: {error}."
        if isinstance(error, MemoryError) and self.tool.spec.memory_mb:
            return f"The {self._named} needed more than its {self.tool.spec.memory_mb} MB of memory."
        if isinstance(error, OSError) and error.errno in FULL:
            return f"The {self._named} could not write a file: the disk is full. Retry when there is room."
        self._output.line("error", "tool failed unexpectedly", self.fields, "".join(traceback.format_exception(error)))
        if self._info.user == SHARED_USER:  # without a login, only the author reads the job's log
            where = own_lines(error, self._directories)[-MAX_LOG_LINE:]
            self._send(Log(call=self.id, level="error", message=where))
        return f"The {self._named} failed unexpectedly."

    def _send_value(self, message: Result | Incomplete) -> None:
        try:
            self._send(message)
        except NotJson as error:
            self._send_error(f"The result of the {self._named} is not JSON: {error}.")

    def _send_error(self, sentence: str) -> None:
        self._send(Failed(call=self.id, message=sentence[:MAX_SENTENCE]))

    # -- plumbing

    def _check(self) -> None:
        if self.cancelled:
            raise CallCancelled

    def _settle(self, request: int, error: BaseException | None, reply: Reply = None) -> None:
        future = self._pending.pop(request, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(reply)
        else:
            future.set_exception(error)


class CallThreads(ThreadPoolExecutor):
    """The executor behind `asyncio.to_thread`. Each thread is registered with the call that it works for."""

    def __init__(self) -> None:
        super().__init__(max_workers=MAX_THREADS, thread_name_prefix="tools")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Called on the loop, in the context of the task that submits the work."""
        call = current_call.get()
        if call is None:
            return super().submit(fn, *args, **kwargs)
        return super().submit(_in_thread_of, call, fn, *args, **kwargs)


def _with_known(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function without the arguments that it does not name."""
    names = inspect.signature(function).parameters
    return lambda context, **values: function(context, **{name: values[name] for name in values if name in names})


def _in_thread_of(call: RunningCall, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    token = current_call.set(call)
    try:
        with call.interruptible():
            return fn(*args, **kwargs)
    finally:
        current_call.reset(token)


def _use_for_temporary_files(directory: str) -> None:
    """Make this directory the default for temporary files, in this process and in the programs that it starts."""
    tempfile.tempdir = directory
    os.putenv("TMPDIR", directory)


@contextmanager
def _memory_limit(memory_mb: int | None) -> Iterator[None]:
    """Sets RLIMIT_DATA, not RLIMIT_AS: address space that numpy's threads only reserve must not count."""
    if memory_mb is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * 1024 * 1024, hard))
    try:
        yield
    finally:
        if memory_mb is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
