"""The worker's tool hosts: places each call, replaces hosts that stall, crash or must be killed."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from toolkit.calls import Call, Moved
from toolkit.catalogue import ToolSpec
from toolkit.errors import ToolError, ToolHostsUnavailable, ToolTimeout, ToolUnknown
from toolkit.handler import CallContext, CallHandler
from toolkit.hosts import Host
from toolkit.scratch import Scratch
from toolkit.uploads import FileInfo
from toolkit.wire import JSON

logger = logging.getLogger(__name__)


class HostPool:
    """`async with HostPool([Path("tools")]) as pool: await pool.call(…)`. Whoever opens it closes it."""

    def __init__(
        self,
        tool_dirs: Sequence[Path],
        *,
        scratch: Path | None = None,  # where calls get their temporary directories; None: the system's place
        grace_seconds: float = 0.3,  # how long a cancelled tool may take before its host is killed
        stall_seconds: float = 0.25,  # how long a loop may keep silent before a call goes elsewhere
        spare_hosts: int = 1,  # started ahead of need
        process_limit: int = 8,  # hosts of one call that run at a time; further calls wait
        thread_limit: int = 32,  # `def` calls in one shared host; further ones get another host
        start_seconds: float = 30,  # how long a host may take to import the tools
    ) -> None:
        self.catalogue: tuple[ToolSpec, ...] = ()
        self._directories = [directory.absolute() for directory in tool_dirs]
        self._scratch = Scratch(None if scratch is None else scratch.absolute())
        self._grace_seconds = grace_seconds
        self._stall_seconds = stall_seconds
        self._spare_hosts = spare_hosts
        self._processes = asyncio.Semaphore(process_limit)
        self._thread_limit = thread_limit
        self._start_seconds = start_seconds
        self._specs: dict[str, ToolSpec] = {}
        self._shared: list[Host] = []
        self._spares: list[asyncio.Task[Host]] = []
        self._hosts: set[Host] = set()
        self._placing = asyncio.Lock()
        self._open = False

    async def __aenter__(self) -> Self:
        await self._scratch.__aenter__()
        self._open = True
        try:
            first = await self._take_spare()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        self._shared.append(first)
        self.catalogue = first.catalogue
        self._specs = {spec.name: spec for spec in first.catalogue}
        for problem in first.problems:
            logger.warning("%s", problem)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        for spare in self._spares:
            spare.cancel()
        await asyncio.gather(*self._spares, return_exceptions=True)
        for host in list(self._hosts):
            host.kill()
            await host.closed.wait()
        await self._scratch.__aexit__(kind, error, trace)

    @property
    def host_pids(self) -> tuple[int, ...]:
        """The processes that live now."""
        return tuple(host.pid for host in self._hosts if not host.closed.is_set())

    async def call(self, name: str, arguments: Mapping[str, JSON], context: CallContext, handler: CallHandler) -> JSON:
        """Run a tool and return its JSON value. Cancelling this stops the tool before it raises.

        Raises a ToolError (see errors.py), or what the handler raised when the tool let it pass.
        """
        if name not in self._specs:
            raise ToolUnknown(f"There is no tool {name!r}.")
        spec = self._specs[name]
        files = await _known_files(context.files, handler) if spec.takes_context else ()
        call = Call(spec=spec, arguments=arguments, context=context, files=files, handler=handler)
        alone = spec.run_in == "process"
        begin_seconds = self._stall_seconds
        while True:
            try:
                return await (self._run_alone(call) if alone else self._run_shared(call, begin_seconds))
            except Moved as moved:
                alone = alone or moved.alone
                begin_seconds *= 2  # on an overloaded machine no host is quick

    # -- running

    async def _run_alone(self, call: Call) -> JSON:
        async with self._processes:
            host = await self._take_spare()
            try:
                return await self._run(host, call)
            finally:
                host.kill()

    async def _run_shared(self, call: Call, begin_seconds: float) -> JSON:
        host = await self._shared_host(call.spec)
        try:
            return await self._run(host, call, begin_seconds)
        finally:
            self._tidy(host)

    async def _run(self, host: Host, call: Call, begin_seconds: float | None = None) -> JSON:
        try:
            async with self._scratch.directory() as scratch, asyncio.timeout(call.spec.timeout_seconds) as limit:
                return await host.run(call, scratch, self._grace_seconds, begin_seconds)
        except TimeoutError as error:
            if not limit.expired():
                raise  # the handler's
            seconds = call.spec.timeout_seconds
            raise ToolTimeout(f"The tool {call.spec.name} was stopped after {seconds:g} s, its time limit.") from error

    # -- placing

    async def _shared_host(self, spec: ToolSpec) -> Host:
        """A host whose loop answers and that has room."""
        async with self._placing:
            for host in list(self._shared):
                if self._has_room(host, spec) and await host.answers(self._stall_seconds):
                    return host
            host = await self._take_spare()
            self._shared.append(host)
            return host

    def _has_room(self, host: Host, spec: ToolSpec) -> bool:
        if not host.alive or host.stalled:
            return False
        threads = sum(attempt.call.spec.run_in == "thread" for attempt in host.attempts.values())
        return spec.run_in == "loop" or threads < self._thread_limit

    def _tidy(self, host: Host) -> None:
        """After a call: dead hosts are forgotten and replaced, of several idle ones one is enough."""
        self._shared = [other for other in self._shared if other.alive]
        if self._open and not self._shared:
            self._start_spares(at_least=self._spare_hosts + 1)
        others = [other for other in self._shared if other is not host and not other.stalled]
        if host in self._shared and not host.attempts and others:
            self._shared.remove(host)
            host.kill()

    # -- hosts

    async def _take_spare(self) -> Host:
        """A host that nobody uses; the next one is started at once. Raises ToolHostsUnavailable."""
        while True:
            self._start_spares(at_least=1)
            spare = self._spares.pop(0)
            self._start_spares(at_least=self._spare_hosts)
            try:
                host = await asyncio.shield(spare)
            except asyncio.CancelledError:
                self._spares.insert(0, spare)
                raise
            if host.alive:
                return host

    def _start_spares(self, at_least: int) -> None:
        if not self._open:
            raise ToolHostsUnavailable("The tools are being shut down.")
        self._spares = [spare for spare in self._spares if _useful(spare)]
        while len(self._spares) < at_least:
            self._spares.append(asyncio.create_task(self._start_host()))

    async def _start_host(self) -> Host:
        host = await Host.start(self._directories, self._start_seconds)
        self._hosts = {other for other in self._hosts if not other.closed.is_set()} | {host}
        return host


def _useful(spare: "asyncio.Task[Host]") -> bool:
    if not spare.done():
        return True
    return not spare.cancelled() and spare.exception() is None and spare.result().alive


async def _known_files(ids: Sequence[str], handler: CallHandler) -> tuple[FileInfo, ...]:
    """The conversation's files that still exist."""
    found = await asyncio.gather(*(handler.open_file(file_id) for file_id in ids), return_exceptions=True)
    for answer in found:
        if isinstance(answer, BaseException) and not isinstance(answer, ToolError):
            raise answer
    return tuple(answer for answer in found if isinstance(answer, FileInfo))
