"""A connection to one MCP server: opened on demand, and again after the server has died."""

import asyncio
import contextvars
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import anyio
import httpx
from mcp import ClientSession, McpError, types
from mcp.shared.message import SessionMessage
from mcp.shared.session import ProgressFnT

from background import cancel_and_wait
from toolkit.errors import ToolError
from toolkit.mcp_servers import McpServer
from toolkit.mcp_transport import open_transport

NOTICE_SECONDS = 10.0
PING_SECONDS = 2.0
CAUSE_SECONDS = 0.2
"""How long to wait for the cause of a connection's end, which cancelling it would hide."""
MAX_PAGES = 50
SESSION_TERMINATED = 32600
"""The SDK's error code for a session that the server no longer knows."""

T = TypeVar("T")


class ServerLost(Exception):
    """The connection ended. `unsent`: the server cannot have begun the request."""

    def __init__(self, *, unsent: bool) -> None:
        super().__init__("the connection to an MCP server ended")
        self.unsent = unsent


class McpClient:
    """Talks to one server, in tasks that outlive the calls that use it."""

    def __init__(self, server: McpServer, connect_seconds: float) -> None:
        self.server = server
        self._connect_seconds = connect_seconds
        self._session: ClientSession | None = None
        self._life: asyncio.Task[None] | None = None  # keeps the connection open, ends with it
        self._connecting = asyncio.Lock()
        self._working = 0  # requests under way
        self._notices: set[asyncio.Task[None]] = set()

    async def tools(self) -> list[types.Tool]:
        """Returns the tools that the server offers. Raises ToolError."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._connect()
                return await self._during(self._all_tools())
        except TimeoutError as error:
            raise ToolError(f"The MCP server {self.server.name!r} {self._silent}.") from error
        except (ServerLost, McpError) as error:
            raise ToolError(f"The MCP server {self.server.name!r} does not list its tools.") from error

    async def call(self, tool: str, arguments: dict[str, Any], on_progress: ProgressFnT) -> types.CallToolResult:
        """Returns the result of the server's tool. Cancelling this cancels the request. Raises ToolError."""
        again = True
        while True:
            await self._connect()
            try:
                return await self._during(self._request(tool, arguments, on_progress))
            except ServerLost as lost:
                if not (lost.unsent and again):
                    sentence = f"The connection to the MCP server {self.server.name!r} was lost while it worked."
                    raise ToolError(sentence) from lost
                again = False
            except McpError as error:
                words = error.error.message.strip().rstrip(".")[:1000]
                raise ToolError(f"The MCP server {self.server.name!r} refused the call: {words}.") from error
            except RuntimeError as error:  # the SDK's: the result does not fit the tool's own output schema
                sentence = (
                    f"The MCP server {self.server.name!r} returned a result that its own description does not allow."
                )
                raise ToolError(sentence) from error

    # -- requests

    async def _request(self, tool: str, arguments: dict[str, Any], on_progress: ProgressFnT) -> types.CallToolResult:
        session = self._session
        assert session is not None
        number = session._request_id  # the number that the call will take before it first waits
        try:
            return await session.call_tool(tool, arguments, progress_callback=on_progress)
        except asyncio.CancelledError:
            self._in_background(_tell_cancelled(session, number))
            raise

    async def _all_tools(self) -> list[types.Tool]:
        assert self._session is not None
        tools: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            tools += page.tools
            cursor = page.nextCursor
            if not cursor:
                break
        return tools

    async def _during(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns the work's value. Raises what the work raises, and ServerLost when the connection ends first."""
        life = self._life
        if life is None or self._session is None:
            work.close()
            raise ServerLost(unsent=True)
        working = asyncio.ensure_future(work)
        pinged = asyncio.Event()
        pinging = asyncio.ensure_future(_ping(self._session, pinged))
        self._working += 1
        try:
            await asyncio.wait({working, life, pinging}, return_when=asyncio.FIRST_COMPLETED)
            if working.done() and not _is_lost(working):
                return working.result()
            await asyncio.wait({working, life}, timeout=CAUSE_SECONDS, return_when=asyncio.ALL_COMPLETED)
            alone = self._working == 1 and not pinged.is_set()
        finally:
            self._working -= 1
            await cancel_and_wait(working, pinging)
        await self._close(life)
        # The refused request was this one, unless it was a ping or another call's.
        raise ServerLost(unsent=_was_not_taken(working) or (alone and _was_refused(life)))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work outside of the call's context: at its end a call cancels the tasks that have it."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._notices.add(task)
        task.add_done_callback(self._forget_notice)

    def _forget_notice(self, task: "asyncio.Task[None]") -> None:
        self._notices.discard(task)
        _ = task.cancelled() or task.exception()  # marks an error as retrieved: the connection is gone, so none matters

    # -- life

    @property
    def _silent(self) -> str:
        return f"did not answer within {self._connect_seconds:g} s"

    async def _connect(self) -> None:
        """Connect unless connected. Raises ToolError with the reason."""
        async with self._connecting:
            if self._life is not None and not self._life.done():
                return
            opened: asyncio.Future[ClientSession] = asyncio.get_running_loop().create_future()
            life = asyncio.get_running_loop().create_task(self._live(opened), context=contextvars.Context())
            life.add_done_callback(_retrieve)
            try:
                async with asyncio.timeout(self._connect_seconds):
                    await _either(opened, life)
                    await _either(asyncio.ensure_future(opened.result().initialize()), life)
            except TimeoutError as error:
                await self._close(life)
                raise ToolError(f"The MCP server {self.server.name!r} {self._silent}.") from error
            except (ServerLost, McpError, RuntimeError) as error:
                await self._close(life)
                raise ToolError(f"The MCP server {self.server.name!r} {_why(life)}.") from error
            except BaseException:
                life.cancel()
                raise
            self._life, self._session = life, opened.result()

    async def _live(self, opened: "asyncio.Future[ClientSession]") -> None:
        """Keep transport and session open, both in one task as the SDK demands, until the server's messages end."""
        async with open_transport(self.server) as (incoming, outgoing):
            send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](0)
            async with send, ClientSession(receive, outgoing) as session:
                if not opened.done():
                    opened.set_result(session)
                try:
                    async for message in incoming:
                        await send.send(message)
                finally:
                    if self._session is session:  # at once: closing may take a while
                        self._life = self._session = None

    async def _close(self, life: "asyncio.Task[None]") -> None:
        if not life.done():
            life.cancel()
            await asyncio.wait({life}, timeout=1)
        if life is self._life:
            self._life = self._session = None


async def _either(work: "asyncio.Future[T]", life: "asyncio.Task[None]") -> None:
    """Wait for the work. Raises ServerLost when the connection ends first."""
    ends: set[asyncio.Future[Any]] = {work, life}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not work.done() or _is_lost(work):
            await asyncio.wait({life}, timeout=CAUSE_SECONDS)
            raise ServerLost(unsent=True)
        work.result()
    finally:
        work.cancel()


async def _ping(session: ClientSession, begun: asyncio.Event) -> None:
    """Returns when the server no longer knows the session. A ping that cannot be sent ends the connection.

    HTTP alone would wait forever for a response that was cut off. A busy server need not answer the ping.
    """
    while True:
        await asyncio.sleep(PING_SECONDS)
        begun.set()
        try:
            await session.send_ping()
        except McpError as error:
            if error.error.code == SESSION_TERMINATED:
                return


async def _tell_cancelled(session: ClientSession, number: int) -> None:
    params = types.CancelledNotificationParams(requestId=number, reason="cancelled by the user")
    notice = types.CancelledNotification(method="notifications/cancelled", params=params)
    async with asyncio.timeout(NOTICE_SECONDS):
        await session.send_notification(types.ClientNotification(notice))


def _retrieve(task: "asyncio.Task[None]") -> None:
    _ = task.cancelled() or task.exception()  # marks an error as retrieved: the requests report it


def _is_lost(work: "asyncio.Future[Any]") -> bool:
    """Whether the work failed because the connection can no longer send or receive."""
    if work.cancelled():
        return True
    error = work.exception()
    if isinstance(error, McpError):
        return error.error.code in (types.CONNECTION_CLOSED, SESSION_TERMINATED)
    return isinstance(error, anyio.ClosedResourceError | anyio.BrokenResourceError | anyio.EndOfStream)


def _was_not_taken(work: "asyncio.Future[Any]") -> bool:
    """Whether the server refused the session, or the transport closed before it accepted the request."""
    error = None if work.cancelled() else work.exception()
    if isinstance(error, McpError):
        return error.error.code == SESSION_TERMINATED
    return isinstance(error, anyio.ClosedResourceError | anyio.BrokenResourceError)


def _was_refused(life: "asyncio.Task[None]") -> bool:
    """Whether the server never received the request, or refused it."""
    for error in _errors(life):
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | BrokenPipeError):
            return True
        if isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error:
            return True
    return False


def _why(life: "asyncio.Task[None]") -> str:
    for cause in _errors(life):
        if isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code in (401, 403):
            return "refuses us: check the headers of its entry"
        if isinstance(cause, httpx.HTTPError):
            return "is out of reach: check the url of its entry, and whether it runs"
        if isinstance(cause, OSError) and not isinstance(cause, ConnectionError):
            return "cannot be started: check the command of its entry"
    return "ended or failed before it was ready"


def _errors(life: "asyncio.Task[None]") -> Iterator[BaseException]:
    """Yields the errors that ended the connection, taken out of their groups."""
    if not life.done() or life.cancelled():
        return
    waiting = [life.exception()]
    while waiting:
        error = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            waiting += error.exceptions
        elif error is not None:
            yield error
