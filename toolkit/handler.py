"""What a worker gives to a call: where it comes from, and who does what the tool asks of its context."""

from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from toolkit.uploads import FileInfo
from toolkit.wire import JSON, Message


@dataclass(frozen=True, kw_only=True)
class CallContext:
    """What a call knows of its origin."""

    thread_id: str | None  # the conversation
    user: str
    idempotency_key: str  # stable over re-runs and restarts
    files: tuple[str, ...] = ()  # ids of the conversation's files
    storage: str = ""  # path of the conversation's directory (the job's without one); need not exist yet
    named_sites: tuple[str, ...] | None = None  # what a call by a model may visit; None: a person calls


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A step that was finished by an earlier run."""

    output: JSON


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A model's answer, with what it cost; None where the endpoint does not say."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class CallHandler(Protocol):
    """Does for the tool what it asks of its context. Paths are relative to the call: 'step:load', 'part:3/step:read'.

    An exception raised here ends the call, unless the tool catches it, and `HostPool.call` raises it as it is. Reports
    come one after another, requests beside each other; both are cancelled when the call ends or moves to another host.
    """

    async def progress(self, done: float, total: float | None, message: str) -> None: ...

    async def log(self, level: str, message: str) -> None: ...

    async def begin_step(self, path: str, name: str) -> Recorded | None:
        """The value of an earlier run, or None: run it. The same path again means that the step runs again."""

    async def end_step(self, path: str, output: JSON) -> None: ...

    async def complete(self, path: str, instruction: str, material: str) -> Completed: ...

    async def limit_rate(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        """Hold the later completions of this call to these rates; None is no limit."""

    async def open_file(self, file_id: str) -> FileInfo:
        """Raises ToolError when the user has no such file."""

    async def save_artifact(self, name: str, mime: str, path: str) -> None:
        """Copy the file before returning: it may be gone then."""


async def serve(handler: CallHandler, method: str, fields: Message) -> JSON:
    """Answer one request of a tool. Raises what the handler raises."""
    return await _METHODS[method](handler, **fields)


async def _begin_step(handler: CallHandler, path: str, name: str) -> JSON:
    recorded = await handler.begin_step(path, name)
    return None if recorded is None else {"output": recorded.output}


async def _end_step(handler: CallHandler, path: str, output: JSON) -> JSON:
    await handler.end_step(path, output)


async def _complete(handler: CallHandler, path: str, instruction: str, material: str) -> JSON:
    return asdict(await handler.complete(path, instruction, material))


async def _limit_rate(handler: CallHandler, requests_per_minute: float | None, tokens_per_minute: float | None) -> JSON:
    await handler.limit_rate(requests_per_minute, tokens_per_minute)


async def _open_file(handler: CallHandler, file_id: str) -> JSON:
    return (await handler.open_file(file_id)).to_json()


async def _save_artifact(handler: CallHandler, name: str, mime: str, path: str) -> JSON:
    await handler.save_artifact(name, mime, path)


_METHODS: dict[str, Callable[..., Coroutine[Any, Any, JSON]]] = {
    "begin_step": _begin_step,
    "end_step": _end_step,
    "complete": _complete,
    "limit_rate": _limit_rate,
    "open_file": _open_file,
    "save_artifact": _save_artifact,
}
