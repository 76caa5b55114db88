"""A tool host: the child process that imports tools and runs their calls. Started by the pool, never by hand."""

import asyncio
import contextlib
import contextvars
import faulthandler
import os
import re
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Coroutine, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO, assert_never

import starting
from toolkit import messages
from toolkit.catalogue import Kind
from toolkit.lines import LineFormat
from toolkit.messages import (
    Answer,
    CancelCall,
    Failed,
    Hello,
    InterruptCall,
    Log,
    Ping,
    Pong,
    Refusal,
    Stalled,
    StartCall,
    ToHost,
    ToWorker,
)
from toolkit.output import JSON_OPTION, Fields, Output, take_over
from toolkit.registry import Registry, load_tools
from toolkit.running import CallThreads, RunningCall, current_call
from toolkit.tool import Tool
from toolkit.watchdog import IMPORTING, TOLD_SECONDS, Code, Stall, Watchdog
from toolkit.wire import AGENTS_OPTION, MCP_OPTION, Channel

FORGOTTEN = re.compile(r"coroutine '(?:Agent|AsyncTool)Context\.(\w+)' was never awaited")
"""Python's warning, which only the log would show."""

NICENESS: Mapping[Kind, int] = {"tool": 19, "agent": 5}
"""The priority of tool code is below the chat's: a tool that uses every core must not slow other users' streams. Agents
start and end answers, so their priority is higher."""


ADVICE = "use asyncio.to_thread or make it `def`"
IMPORT_ADVICE = "import it at the top of the file, so that it is done before the first call"


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """The host's command line: the number of the control socket, the format of its log lines, then directories of
    tools, or of agents, or the file of MCP servers."""

    control: int
    directories: tuple[Path, ...] = ()
    mcp_servers: Path | None = None
    connect_seconds: float = 0
    kind: Kind = "tool"
    """What is loaded from the directories."""
    log_format: LineFormat = "text"

    @classmethod
    def parse(cls, arguments: list[str]) -> "HostOptions":
        control, rest = int(arguments[0]), arguments[1:]
        log_format: LineFormat = "text"
        if rest[:1] == [JSON_OPTION]:
            log_format, rest = "json", rest[1:]
        if rest[:1] == [MCP_OPTION]:
            mcp_servers, seconds = Path(rest[1]), float(rest[2])
            return cls(control=control, log_format=log_format, mcp_servers=mcp_servers, connect_seconds=seconds)
        kind: Kind = "tool"
        if rest[:1] == [AGENTS_OPTION]:
            kind, rest = "agent", rest[1:]
        directories = tuple(Path(argument) for argument in rest)
        return cls(control=control, log_format=log_format, directories=directories, kind=kind)


class Host:
    """The host. A thread reads the control socket, so that a blocked loop delays neither commands nor the end."""

    def __init__(self, channel: Channel, options: HostOptions, output: Output) -> None:
        self._channel = channel
        self._output = output
        self._options = options
        self._tools: dict[str, Tool[..., Any]] = {}
        self._calls: dict[int, RunningCall] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(_task_of_call)
        self._loop.set_default_executor(CallThreads())
        self._watchdog = Watchdog(self._loop, self._stalled, Code(options.directories))
        self._problems: tuple[str, ...] = ()
        self._told = False  # whether the present stall was reported

    def run(self) -> None:
        """Load the tools, say hello, serve until the process ends."""
        threading.Thread(target=self._control, name="control", daemon=True).start()
        asyncio.set_event_loop(self._loop)
        registry = self._load()
        starting.end()
        self._tools.update(registry.tools)
        self._problems = registry.problems
        catalogue = tuple(tool.spec for tool in registry.tools.values())
        self._send(Hello(catalogue=catalogue, problems=registry.problems))
        self._loop.run_forever()

    def _load(self) -> Registry:
        if self._options.mcp_servers is None:
            return load_tools(self._options.directories, self._options.kind)
        from toolkit.mcp_tools import connect_tools  # the SDK is slow to import, and most hosts need none

        return self._loop.run_until_complete(connect_tools(self._options.mcp_servers, self._options.connect_seconds))

    def _control(self) -> None:
        try:
            while body := self._channel.receive():
                self._obey(messages.for_host(body))
        finally:
            end_process_group()

    def _send(self, message: ToWorker) -> None:
        data = messages.encode(message)
        try:
            self._channel.send(data)
        except OSError:  # the worker is gone, so this process is no longer needed
            end_process_group()

    def _obey(self, message: ToHost) -> None:
        match message:
            case StartCall():
                self._begin(message)
            case Ping():
                self._loop.call_soon_threadsafe(self._send, Pong())
            case CancelCall() | InterruptCall() | Answer() | Refusal():
                if call := self._calls.get(message.call):
                    _tell_call(call, message)
            case _:
                assert_never(message)

    def _begin(self, start: StartCall) -> None:
        tool = self._tools.get(start.tool)
        if tool is None:  # its file has changed since the catalogue was read
            why = " ".join(["", *self._problems[:1]])
            gone = f"The {self._options.kind} {start.tool} is no longer there.{why}"
            self._send(Failed(call=start.call, message=gone))
            return
        call = RunningCall(start, tool, self._send, self._loop, self._ended, self._output, self._options.directories)
        self._calls[call.id] = call
        if tool.spec.run_in == "loop":
            self._watchdog.watch()
        call.start()

    def _ended(self, call: RunningCall) -> None:
        """Called just before the call's end is sent."""
        self._output.end(call.fields)
        del self._calls[call.id]
        if call.tool.spec.run_in == "loop":
            self._watchdog.recovered()
            self._watchdog.rest()

    def _stalled(self, stall: Stall) -> None:
        """Called on the watchdog's thread, as the loop's thread is blocked."""
        context = None if stall.task is None else _call_of.get(id(stall.task))
        self._send(Stalled(seconds=stall.seconds, call=None if context is None else context.id, over=stall.over))
        told, self._told = self._told, not stall.over and stall.seconds >= TOLD_SECONDS
        if context is None or told or not (stall.over or self._told):
            return
        so_far = "" if stall.over else " so far"
        seconds = f"{stall.seconds:.1f} s{so_far}"
        advice = IMPORT_ADVICE if stall.where.endswith(IMPORTING) else ADVICE
        text = f"blocked the loop for {seconds} {stall.where}: {advice}"
        self._output.line("warning", text, context.fields)
        self._send(Log(call=context.id, level="warning", message=text))


# Keyed by the task's id: the watchdog reads from another thread, where iterating a weak mapping is unsafe.
_call_of: dict[int, RunningCall] = {}


def _task_of_call(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    *,
    context: contextvars.Context | None = None,
    **options: Any,
) -> "asyncio.Task[Any]":
    """Make a task that is registered with the call that started it."""
    task = asyncio.Task(coro, loop=loop, context=context, **options)
    call = current_call.get() if context is None else context.get(current_call)
    if call is not None:
        call.tasks.add(task)
        _call_of[id(task)] = call
        task.add_done_callback(_forget_task)
    return task


def _forget_task(task: "asyncio.Task[Any]") -> None:
    _call_of.pop(id(task)).tasks.discard(task)


def _tell_call(call: RunningCall, message: CancelCall | InterruptCall | Answer | Refusal) -> None:
    match message:
        case CancelCall():
            call.cancel()
        case InterruptCall():
            call.interrupt()
        case Answer():
            call.answered(message)
        case Refusal():
            call.refused(message)
        case _:
            assert_never(message)


def end_process_group() -> None:
    """End this process and the tools' child processes at once, without clean-up, which a stuck tool could block."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _fields_of_call() -> Fields:
    call = current_call.get()
    return {} if call is None else call.fields


def _offer_to_be_killed() -> None:
    """Make the kernel kill a host first when memory runs out, not the worker, the web process or others."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def _notice_forgotten_awaits() -> None:
    """Make a call fail that ends although its `ctx.respond(…)`, without `await`, never ran."""
    show = warnings.showwarning

    def notice(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        call = current_call.get()
        if call is not None and (method := FORGOTTEN.match(str(message))):
            call.forgotten = method[1]
        else:
            show(message, category, filename, lineno, file, line)

    warnings.filterwarnings("always", FORGOTTEN.pattern, RuntimeWarning)
    warnings.showwarning = notice


def _tell_of_exits(output: Output) -> None:
    """Make `os._exit` in a tool's code say which line ended the process, and with it the calls of others."""
    end = os._exit

    def tell_and_end(status: int) -> NoReturn:
        call = current_call.get()
        if call is not None:
            place = traceback.extract_stack(sys._getframe(1), limit=1)[-1]
            where = f"at {Path(place.filename).name}:{place.lineno} in {place.name}()"
            output.line("warning", f"ended its process with os._exit({status}) {where}", call.fields)
        end(status)

    os._exit = tell_and_end


def main(arguments: list[str]) -> None:
    """Run a host with the arguments of HostOptions."""
    # A signal to the whole control group makes the worker drain, and calls must go on meanwhile. The programs that a
    # tool starts would inherit SIG_IGN, so the host uses a handler.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    options = HostOptions.parse(arguments)
    os.nice(NICENESS[options.kind])
    _offer_to_be_killed()
    os.set_inheritable(options.control, False)
    faulthandler.enable(sys.stderr)  # a crash in C leaves the lines that ran, in the log
    output = take_over(options.log_format, _fields_of_call)
    _tell_of_exits(output)
    _notice_forgotten_awaits()
    sys.path.extend(str(directory.resolve()) for directory in options.directories)
    try:
        Host(Channel(socket.socket(fileno=options.control)), options, output).run()
    except SystemExit as error:  # raised in a task that a tool started
        os._exit(error.code if isinstance(error.code, int) else 1)
