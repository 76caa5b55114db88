"""The worker's tool hosts: chooses one for each call, and replaces hosts that stall, crash or must be killed."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from background import cancel_and_wait
from names import SHARED_USER
from toolkit.calls import Call, Moved, Suspects
from toolkit.catalogue import Kind, ToolSpec
from toolkit.errors import ToolError, ToolHostsUnavailable, ToolTimeout, ToolUnknown
from toolkit.handler import CallContext, CallHandler
from toolkit.hosts import HostProcess
from toolkit.lines import LineFormat
from toolkit.output import JSON_OPTION
from toolkit.places import Places
from toolkit.scratch import Scratch
from toolkit.uploads import FileInfo
from toolkit.wire import AGENTS_OPTION, JSON, MCP_OPTION

logger = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024
REFILL_SECONDS = 0.03
FIRST_SPARE_SECONDS = 5.0
"""The first spare host starts this long after the pool: a starting server has other things to do."""
CLOSED = "The tools are being shut down."


class HostPool:
    """`async with HostPool([Path("tools")]) as pool: await pool.call(…)`."""

    def __init__(
        self,
        tool_dirs: Sequence[Path],
        *,
        environment: Mapping[str, str] | None = None,  # the hosts' whole environment; None: empty
        kind: Kind = "tool",  # what the directories contain
        log_format: LineFormat = "text",  # of the lines that the hosts write to the log
        scratch: Path | None = None,  # holds the calls' temporary directories; None: the system's
        mcp_servers: Path | None = None,  # the file that names MCP servers
        connect_seconds: float = 10,  # how long such a server may take to connect; delays the start by as much
        grace_seconds: float = 0.3,  # how long a cancelled tool may take before its host is killed
        stall_seconds: float = 0.25,  # how long a loop may be silent before a call goes to another host
        spare_hosts: int = 1,  # hosts started before they are needed
        process_limit: int = 8,  # hosts that run one call each, at a time; further calls wait (places.py)
        thread_limit: int = 32,  # `def` calls in one shared host; further ones get another host
        growth_mb: float = 512,  # by how much a shared host may grow over its calls before another replaces it
        start_seconds: float = 30,  # how long a host may take to import the tools
    ) -> None:
        self.catalogue: tuple[ToolSpec, ...] = ()
        self.problems: tuple[str, ...] = ()  # a sentence for each file or server whose tools are not offered
        option = [AGENTS_OPTION] if kind == "agent" else []
        self._kind = kind
        self._directories = [*option, *(str(directory.absolute()) for directory in tool_dirs)]
        self._mcp = None if mcp_servers is None else [MCP_OPTION, str(mcp_servers.absolute()), str(connect_seconds)]
        self._environment = dict(environment or {})  # never the worker's own, which contains the server's secrets
        self._log_options = [JSON_OPTION] if log_format == "json" else []
        self._mcp_names: frozenset[str] = frozenset()
        self._mcp_host: HostProcess | None = None
        self._scratch = Scratch(None if scratch is None else scratch.absolute())
        self._grace_seconds = grace_seconds
        self._stall_seconds = stall_seconds
        self._spare_hosts = spare_hosts
        self._places = Places(process_limit)
        self._thread_limit = thread_limit
        self._growth_mb = growth_mb
        self._replaced = 0  # hosts that had grown
        self._start_seconds = start_seconds
        self._specs: dict[str, ToolSpec] = {}
        self._told: set[str] = set()
        self._shared: list[HostProcess] = []
        self._spares: list[asyncio.Task[HostProcess]] = []
        self._hosts: set[HostProcess] = set()
        self._choosing = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._open = False

    async def __aenter__(self) -> Self:
        await self._scratch.__aenter__()
        self._open = True
        try:
            await self._load()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        self._tell(self.problems)
        asyncio.get_running_loop().call_later(FIRST_SPARE_SECONDS, self._refill)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        await cancel_and_wait(*self._spares)
        for host in list(self._hosts):
            host.kill()
            await host.closed.wait()
        await self._scratch.__aexit__(kind, error, trace)

    async def _load(self) -> None:
        """Start both kinds of hosts concurrently: MCP servers that do not answer delay the start by seconds."""
        connecting = asyncio.create_task(self._connected())
        try:
            first = await self._start_host(self._directories)
            offered, problems = await connecting
        finally:
            await cancel_and_wait(connecting)
        self._shared.append(first)
        own = {spec.name: spec for spec in first.catalogue}
        added = {spec.name: spec for spec in offered if spec.name not in own}
        self._mcp_names = frozenset(added)
        self._specs = {**own, **added}
        self.catalogue = tuple(self._specs.values())
        self.problems = (*first.problems, *problems)

    async def _connected(self) -> tuple[tuple[ToolSpec, ...], tuple[str, ...]]:
        """Returns the tools of the MCP servers, and their problems."""
        if self._mcp is None:
            return (), ()
        try:
            host = await self._host_of_servers()
        except ToolHostsUnavailable:
            return (), ("The MCP servers could not be asked for their tools.",)
        return host.catalogue, host.problems

    @property
    def host_pids(self) -> tuple[int, ...]:
        """The ids of the processes that can run tools now."""
        return tuple(host.pid for host in self._hosts if host.ready)

    async def call(self, name: str, arguments: Mapping[str, JSON], context: CallContext, handler: CallHandler) -> JSON:
        """Run a tool. Returns its JSON value. Cancelling this stops the tool before it raises.

        Raises a ToolError (see errors.py), or an exception of the handler that the tool did not catch.
        """
        if name not in self._specs:
            raise ToolUnknown(f"There is no tool {name!r}.")
        spec = self._specs[name]
        files = await _known_files(context.files, handler) if spec.takes_context else ()
        call = Call(spec=spec, arguments=arguments, context=context, files=files, handler=handler)
        suspects: Suspects | None = None
        begin_seconds = self._stall_seconds
        while True:
            try:
                if name in self._mcp_names:
                    return await self._run_of_server(call)
                if spec.run_in == "process" or self._must_be_alone(suspects):
                    return await self._run_alone(call)
                return await self._run_shared(call, begin_seconds, suspects)
            except Moved as moved:
                suspects = moved.suspects or suspects
                begin_seconds *= 2  # on an overloaded machine, all hosts are slow

    def _must_be_alone(self, suspects: Suspects | None) -> bool:
        """Whether a call whose host died runs alone now: if that host dies too, the call is to blame.

        Tools do so at once, and those beyond `process_limit` wait. Agents do not wait, as many answers are in one host
        and most of them only wait for a model: they run again in halves, until the half that dies is one call.
        """
        return suspects is not None and (self._kind == "tool" or suspects.size == 1)

    # -- running

    async def _run_alone(self, call: Call) -> JSON:
        async with self._place(call):
            host = await self._take_spare()
            try:
                return await self._run(host, call)
            finally:
                host.kill()
                self._keep_warm()

    def _place(self, call: Call) -> AbstractAsyncContextManager[None]:
        """The `partial` of a stopped call is short and must not wait for other calls, so it needs no place."""
        if call.context.partial:
            return nullcontext()
        handler = call.handler
        return self._places.taken(_owner(call.context), on_wait=handler.wait_for_place, on_given=handler.go_on)

    async def _run_of_server(self, call: Call) -> JSON:
        """Run the call in the one host for MCP servers. If that dies, the call fails, as the server may have acted."""
        return await self._run(await self._host_of_servers(), call)

    async def _run_shared(self, call: Call, begin_seconds: float, suspects: Suspects | None) -> JSON:
        host = await self._shared_host(call.spec, suspects)
        try:
            return await self._run(host, call, begin_seconds)
        finally:
            self._tidy(host)

    async def _run(self, host: HostProcess, call: Call, begin_seconds: float | None = None) -> JSON:
        try:
            made = call.spec.run_in == "process"  # also for its programs; other hosts create it on demand
            async with (
                self._scratch.directory(made=made) as scratch,
                asyncio.timeout(call.spec.timeout_seconds) as limit,
            ):
                return await host.run(call, scratch, self._grace_seconds, begin_seconds)
        except TimeoutError as error:
            if not limit.expired():
                raise  # the handler's own
            seconds = call.spec.timeout_seconds
            raise ToolTimeout(
                f"The {call.spec.kind} {call.spec.name} was stopped after {seconds:g} s, its time limit."
            ) from error

    # -- choosing a host

    async def _shared_host(self, spec: ToolSpec, suspects: Suspects | None) -> HostProcess:
        """Returns a host that has room and whose loop is not known to be blocked; for suspects, one of their own."""
        async with self._choosing:
            for host in self._shared:
                if host.suspects == suspects and self._has_room(host, spec):
                    return host
            host = await self._take_spare()
            host.suspects = suspects
            self._shared.append(host)
            return host

    def _has_room(self, host: HostProcess, spec: ToolSpec) -> bool:
        if not host.alive or host.stalled or host.retiring:
            return False
        threads = sum(attempt.call.spec.run_in == "thread" for attempt in host.attempts.values())
        return spec.run_in == "loop" or threads < self._thread_limit

    def _tidy(self, host: HostProcess) -> None:
        """After a call, replace dead hosts and one that has grown, and kill an idle one if there are others."""
        self._shared = [other for other in self._shared if other.alive]
        if host.alive and not host.retiring and host.growth.bytes > self._growth_mb * MEGABYTE:
            self._retire(host)
        self._keep_warm()
        others = [other for other in self._shared if other is not host and not other.stalled and _takes_any(other)]
        if host in self._shared and not host.attempts and (others or not _takes_any(host)):
            self._shared.remove(host)
            host.kill()

    def _retire(self, host: HostProcess) -> None:
        """Send a host no further calls. It ends when its calls have ended."""
        host.retiring = True
        self._replaced += 1
        fields = {
            "host": host.pid,
            "grown_mb": host.growth.bytes // MEGABYTE,
            "calls": host.growth.calls,
            "replaced": self._replaced,
        }
        logger.warning("host replaced, as its memory grows with its calls", extra={"fields": fields})

    def _keep_warm(self) -> None:
        """Start enough spare hosts for the next call and the one after it."""
        if self._open and not any(_takes_any(host) for host in self._shared):
            self._start_spares(at_least=self._spare_hosts + 1)

    # -- hosts

    async def _host_of_servers(self) -> HostProcess:
        """Returns the one host that is connected to the MCP servers. Raises ToolHostsUnavailable."""
        assert self._mcp is not None
        async with self._asking:
            if not self._open:
                raise ToolHostsUnavailable(CLOSED)
            if self._mcp_host is None or not self._mcp_host.alive:
                self._mcp_host = await self._start_host(self._mcp)
            return self._mcp_host

    async def _take_spare(self) -> HostProcess:
        """Returns an unused host, and has the next one started. Raises ToolHostsUnavailable."""
        while True:
            self._start_spares(at_least=1)
            spare = self._spares.pop(0)
            # A little later: starting a process now would delay the call that takes this one.
            asyncio.get_running_loop().call_later(REFILL_SECONDS if spare.done() else 0, self._refill)
            try:
                host = await asyncio.shield(spare)
            except asyncio.CancelledError:
                self._spares.insert(0, spare)
                raise
            if host.alive:
                return host

    def _refill(self) -> None:
        if self._open:
            self._start_spares(at_least=self._spare_hosts)

    def _start_spares(self, at_least: int) -> None:
        if not self._open:
            raise ToolHostsUnavailable(CLOSED)
        self._spares = [spare for spare in self._spares if _useful(spare)]
        while len(self._spares) < at_least:
            self._spares.append(asyncio.create_task(self._start_host(self._directories)))

    async def _start_host(self, source: Sequence[str]) -> HostProcess:
        host = await HostProcess.start(
            [*self._log_options, *source], self._environment, self._start_seconds, self._spawned
        )
        if self.catalogue:  # a file was changed since
            self._tell(host.problems)
        return host

    def _tell(self, problems: Sequence[str]) -> None:
        """Log those problems that are new."""
        for problem in problems:
            if problem not in self._told:
                logger.warning("tools not offered", extra={"fields": {"problem": problem}})
        self._told.update(problems)

    def _spawned(self, host: HostProcess) -> None:
        self._hosts = {other for other in self._hosts if not other.closed.is_set()} | {host}


def _owner(context: CallContext) -> str:
    """Returns the owner for fair turns: the user, or without a login the conversation."""
    return f"thread {context.thread_id}" if context.user == SHARED_USER else f"user {context.user}"


def _takes_any(host: HostProcess) -> bool:
    """Whether new calls may go there."""
    return not host.retiring and host.suspects is None


def _useful(spare: "asyncio.Task[HostProcess]") -> bool:
    if not spare.done():
        return True
    return not spare.cancelled() and spare.exception() is None and spare.result().alive


async def _known_files(ids: Sequence[str], handler: CallHandler) -> tuple[FileInfo, ...]:
    """Returns those files that still exist."""
    found = await asyncio.gather(*(handler.open_file(file_id) for file_id in ids), return_exceptions=True)
    for answer in found:
        if isinstance(answer, BaseException) and not isinstance(answer, ToolError):
            raise answer
    return tuple(answer for answer in found if isinstance(answer, FileInfo))
