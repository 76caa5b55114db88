"""What a worker gives to a call: where it comes from, and who does what the tool asks of its context."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, assert_never

from toolkit.uploads import FileInfo
from toolkit.wire import JSON


@dataclass(frozen=True, kw_only=True)
class CallContext:
    """What a call knows of its origin."""

    thread_id: str | None
    """The conversation."""
    user: str
    idempotency_key: str
    """Stable over re-runs and restarts."""
    files: tuple[str, ...] = ()
    """Ids of the conversation's files."""
    storage: str = ""
    """Path of the conversation's directory (the job's without one); need not exist yet."""
    named_sites: tuple[str, ...] | None = None
    """What a call by a model may visit; None: a person calls."""
    job: str | None = None
    step: str | None = None
    """The job, and its step that this call is, for the lines of the log."""


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


Reply: TypeAlias = Recorded | Completed | FileInfo | None
"""What a worker answers: None where nothing is to be told, and for a step that is to run."""


@dataclass(frozen=True, kw_only=True)
class BeginStep:
    """Has an earlier run finished the step? The reply is Recorded or None."""

    path: str
    name: str


@dataclass(frozen=True, kw_only=True)
class EndStep:
    """The step is finished; the reply is None."""

    path: str
    output: JSON


@dataclass(frozen=True, kw_only=True)
class Complete:
    """Ask the model; the reply is Completed."""

    path: str
    instruction: str
    material: str


@dataclass(frozen=True, kw_only=True)
class LimitRate:
    """Hold later completions to these rates; the reply is None."""

    requests_per_minute: float | None
    tokens_per_minute: float | None


@dataclass(frozen=True, kw_only=True)
class OpenFile:
    """Find an uploaded file; the reply is its FileInfo."""

    file_id: str


@dataclass(frozen=True, kw_only=True)
class SaveArtifact:
    """Keep a file for the user; the reply is None."""

    name: str
    mime: str
    path: str


Asked: TypeAlias = BeginStep | EndStep | Complete | LimitRate | OpenFile | SaveArtifact
"""What a tool may ask of its worker."""


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


async def serve(handler: CallHandler, asked: Asked) -> Reply:
    """Do what a tool asks for. Raises what the handler raises."""
    match asked:
        case BeginStep():
            return await handler.begin_step(asked.path, asked.name)
        case EndStep():
            await handler.end_step(asked.path, asked.output)
        case Complete():
            return await handler.complete(asked.path, asked.instruction, asked.material)
        case LimitRate():
            await handler.limit_rate(asked.requests_per_minute, asked.tokens_per_minute)
        case OpenFile():
            return await handler.open_file(asked.file_id)
        case SaveArtifact():
            await handler.save_artifact(asked.name, asked.mime, asked.path)
        case _:
            assert_never(asked)
    return None
