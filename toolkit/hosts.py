"""A tool host on the worker's side: the child process, its socket, and the attempts that run in it."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import starting
from background import wait_event
from toolkit import messages, wire
from toolkit.calls import Attempt, Call, Moved, Suspects
from toolkit.catalogue import ToolSpec
from toolkit.errors import NotJson, ToolArgumentsInvalid, ToolCrashed, ToolHostsUnavailable
from toolkit.growth import Growth
from toolkit.messages import (
    CancelCall,
    Hello,
    InterruptCall,
    Ping,
    Pong,
    Stalled,
    ToHost,
    ToWorker,
)
from toolkit.wire import JSON

logger = logging.getLogger(__name__)

BOOT = "import gc, sys; gc.disable(); sys.path[0] = sys.argv[1]; from toolkit.host import main; main(sys.argv[2:])"
"""A host imports from the directory above this package, whatever the current directory and PYTHONPATH are.
Garbage collection during the imports would take a seventh of its start, so it is enabled when the tools are loaded."""
ROOT = str(Path(__file__).resolve().parent.parent)

MOVE_SECONDS = 1.0
"""A loop that is blocked for this long loses its other calls, which move to another host."""

_numbers = itertools.count(1)


class HostProcess:
    """One child process. `HostProcess.start` opens it; call `kill` and await `closed` to end it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.catalogue: tuple[ToolSpec, ...] = ()
        self.problems: tuple[str, ...] = ()
        self.attempts: dict[int, Attempt] = {}
        self.stalled = False  # its loop does not respond
        self.retiring = False  # it ends with the calls that it has
        self.suspects: Suspects | None = None  # it runs these calls and no others
        self.growth = Growth(process.pid)
        self.closed = asyncio.Event()  # the process is gone and its attempts have been told
        self._process = process
        self._reader = reader
        self._writer = writer
        self._blamed: Attempt | None = None  # the attempt because of which it was killed
        self._ready = asyncio.Event()
        self._life = asyncio.create_task(self._live())

    @classmethod
    async def start(
        cls,
        source: Sequence[str],
        environment: Mapping[str, str],
        timeout_seconds: float,
        on_spawned: Callable[["HostProcess"], None],
    ) -> "HostProcess":
        """Returns a host that has loaded the tools of its command line (HostOptions), with this environment.

        Calls `on_spawned` as soon as the process lives, so that its owner can await its end even if this is cancelled.
        Raises ToolHostsUnavailable.
        """
        spawning = asyncio.create_task(cls._spawn(source, environment, on_spawned))
        try:
            await asyncio.shield(spawning)
            await spawning.result()._hello(timeout_seconds)
        except BaseException:
            host = await spawning  # a few milliseconds: a half-started process cannot be ended
            host.kill()
            await host.closed.wait()
            raise
        return spawning.result()

    @classmethod
    async def _spawn(
        cls, source: Sequence[str], environment: Mapping[str, str], on_spawned: Callable[["HostProcess"], None]
    ) -> "HostProcess":
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", BOOT, ROOT, str(theirs.fileno()), *source),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=2,  # output and tracebacks of tools go to the operator
                env=environment,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # killed with its children; Ctrl-C is for the web process only
            )
        starting.limit_open_files(process.pid)
        host = cls(process, *await asyncio.open_connection(sock=ours))
        on_spawned(host)
        return host

    @property
    def pid(self) -> int:
        """The id of the process and of its process group."""
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it has loaded its tools and is alive."""
        return self._ready.is_set() and not self.closed.is_set()

    @property
    def alive(self) -> bool:
        """Whether calls may be sent to it."""
        return self._process.returncode is None and not self.closed.is_set() and self._blamed is None

    async def run(self, call: Call, scratch: str, grace_seconds: float, begin_seconds: float | None = None) -> JSON:
        """Run the call to its end. Without `begin_seconds`, the host must run no other call.

        Raises as Attempt.result, also Moved when the call has not begun within `begin_seconds`. When this is cancelled,
        the tool has stopped before it raises.
        """
        attempt = Attempt(next(_numbers), call, self.send, alone=begin_seconds is None)
        self.attempts[attempt.number] = attempt
        if begin_seconds is not None:
            asyncio.get_running_loop().call_later(begin_seconds, self._expect_begun, attempt)
        try:
            if self.closed.is_set():
                raise Moved
            self._send_call(attempt, scratch)
            return await attempt.result()
        finally:
            try:
                await self._leave(attempt, grace_seconds)
            finally:
                self.attempts.pop(attempt.number, None)
                self.growth.call_ended()

    def send(self, message: ToHost) -> None:
        """Send a message, which is lost if the host is gone (see `closed`). Raises NotJson."""
        data = messages.encode(message)
        if not self._writer.is_closing():
            self._writer.write(data)

    def kill(self, blamed: Attempt | None = None) -> None:
        """End the process and its children; all attempts but the blamed one move."""
        self._blamed = self._blamed or blamed
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    # -- attempts

    def _expect_begun(self, attempt: Attempt) -> None:
        """Move an attempt that has not begun: the loop is blocked, or a call in C keeps the interpreter.

        The host counts as stalled until its loop answers a ping.
        """
        if attempt.number in self.attempts and not attempt.begun:
            self.stalled = True
            self.send(Ping())
            attempt.move()

    def _send_call(self, attempt: Attempt, scratch: str) -> None:
        try:
            self.send(attempt.call.start(attempt.number, scratch))
        except NotJson as error:
            attempt.over.set()
            raise ToolArgumentsInvalid(f"The arguments of {attempt.call.spec.name} cannot be sent: {error}.") from error

    async def _leave(self, attempt: Attempt, grace_seconds: float) -> None:
        """Make sure that nothing of an ended attempt still runs, here or in the host."""
        await attempt.close()
        if attempt.over.is_set() or self.closed.is_set():
            return
        if attempt.moved:  # the host continues with other calls, and obeys when it can
            self.send(CancelCall(call=attempt.number))
            return
        # A separate task, because a second cancel of the caller must not leave the tool running.
        stopping = asyncio.create_task(self._stop(attempt, grace_seconds))
        await asyncio.shield(stopping)

    async def _stop(self, attempt: Attempt, grace_seconds: float) -> None:
        if attempt.call.spec.run_in != "process":
            for wish in (CancelCall(call=attempt.number), InterruptCall(call=attempt.number)):
                self.send(wish)
                if await self._stopped(attempt, grace_seconds / 2):
                    return
        self.kill(attempt)
        await self.closed.wait()

    async def _stopped(self, attempt: Attempt, timeout_seconds: float) -> bool:
        waits = {asyncio.create_task(attempt.over.wait()), asyncio.create_task(self.closed.wait())}
        done, pending = await asyncio.wait(waits, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return bool(done)

    # -- life

    async def _hello(self, timeout_seconds: float) -> None:
        if not await wait_event(self._ready, timeout_seconds):
            raise ToolHostsUnavailable(f"A tool host did not load its tools within {timeout_seconds:g} s.")
        if not self.catalogue and self.closed.is_set():
            raise ToolHostsUnavailable(f"A tool host ended while it loaded its tools ({self._how()}).")

    async def _live(self) -> None:
        reading = asyncio.create_task(self._read())
        await self._process.wait()
        # Messages sent before its death still count. The wait is short: a tool's child may keep the socket open.
        await asyncio.wait({reading}, timeout=0.2)
        reading.cancel()
        self._writer.close()
        self.kill()  # the children that it leaves behind
        self._end_attempts()
        self.closed.set()
        self._ready.set()

    async def _read(self) -> None:
        try:
            while body := await wire.read(self._reader):
                self._receive(messages.for_worker(body))
        except (NotJson, ValueError, LookupError, TypeError) as error:
            logger.warning("tool host broke the protocol", extra={"fields": {"host": self.pid, "problem": str(error)}})
        finally:
            if self._process.returncode is None:
                self.kill()  # it closed its socket or broke the protocol, so it can no longer be told anything

    def _receive(self, message: ToWorker) -> None:
        match message:
            case Hello():
                self.catalogue = message.catalogue
                self.problems = message.problems
                self._ready.set()
            case Pong():
                self.stalled = False
            case Stalled():
                self._stall(message)
            case _:
                if attempt := self.attempts.get(message.call):
                    attempt.receive(message)

    def _stall(self, stalled: Stalled) -> None:
        self.stalled = not stalled.over
        if self.stalled and stalled.seconds >= MOVE_SECONDS and stalled.call is not None:
            for attempt in self.attempts.values():
                if attempt.number != stalled.call and attempt.call.spec.run_in == "loop" and not attempt.alone:
                    attempt.move()

    def _end_attempts(self) -> None:
        moving: list[Attempt] = []
        for attempt in list(self.attempts.values()):
            if attempt.over.is_set() or attempt is self._blamed:
                attempt.over.set()
            elif attempt.alone:  # checked first: it must not run a second time, whichever attempt is blamed
                attempt.fail(ToolCrashed(self._crash(attempt.call.spec)))
            else:
                moving.append(attempt)
        for half in (0, 1):
            attempts = moving[half::2]
            suspects = Suspects(host=self.pid, half=half, size=len(attempts)) if self._blamed is None else None
            for attempt in attempts:
                attempt.move(suspects)

    def _crash(self, spec: ToolSpec) -> str:
        code = self._process.returncode
        if spec.memory_mb and code in (-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV):
            why = f"perhaps it needed more than its {spec.memory_mb} MB of memory"
            return f"The {spec.kind} {spec.name} ended its process: {why}."
        return f"The {spec.kind} {spec.name} ended its process ({self._how()})."

    def _how(self) -> str:
        code = self._process.returncode or 0
        if code >= 0:
            return f"exit code {code}"
        hint = ", perhaps because memory ran out" if code == -signal.SIGKILL else ""
        return f"{signal.Signals(-code).name}{hint}"
