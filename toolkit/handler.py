"""The worker's side of a context: the origin of a call, the tool's requests, and the handler that fulfils them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, assert_never

from toolkit.uploads import FileInfo
from toolkit.wire import JSON

ABANDONED = "abandoned"
"""The message for cancelling a request that the tool's code gave up, unlike a request whose host is gone."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The message that an agent answers."""

    text: str
    """The user's words."""
    at: float
    """Unix seconds at which they were sent."""
    tools: Sequence[str] = ()
    """Names of the tools that the agent's models may call."""
    indexed: bool = False
    """A tool has put documents of the conversation into its index."""


@dataclass(frozen=True, kw_only=True)
class CallContext:
    """The origin of a call, as the worker states it."""

    thread_id: str | None
    """The thread of the call; None for a call outside of threads."""
    user: str
    idempotency_key: str
    """The same for every attempt at the call with these arguments, also after restarts; `limits` do not count."""
    files: tuple[str, ...] = ()
    """Ids of the thread's files."""
    storage: str = ""
    """Path of the thread's directory, or of the job's if it has no thread; need not exist yet."""
    named_sites: tuple[str, ...] | None = None
    """The sites that a call by a model may visit; None when a person calls."""
    job: str | None = None
    step: str | None = None
    """The job, and the step of it that is this call; for the log."""
    partial: bool = False
    """The call was stopped: run the tool's `partial`."""
    offline: bool = False
    """No language model is connected."""
    turn: Turn | None = None
    """The message that is answered, when an agent is called."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The value of a step that an earlier attempt has finished."""

    output: JSON


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A model's answer and the tokens that it used; None if the endpoint does not report them."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was looked up."""

    value: JSON


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A model's answer to an agent."""

    text: str
    calls: Sequence[Mapping[str, JSON]]
    """{id, name, arguments} of each tool call."""
    finish_reason: str
    input_tokens: int | None = None
    output_tokens: int | None = None


Reply: TypeAlias = Recorded | Completed | FileInfo | Found | Generated | None
"""A worker's reply. None means done; for BeginStep: the step must run, or in a `partial`: it is unfinished."""


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Ask whether the tool's code may start; the reply is None. A call that has moved to another host gets no reply,
    because that host runs it."""


@dataclass(frozen=True, kw_only=True)
class BeginStep:
    """Ask whether an earlier attempt has finished the step; the reply is Recorded or None."""

    path: str
    name: str


@dataclass(frozen=True, kw_only=True)
class EndStep:
    """Record the value of a finished step; the reply is None."""

    path: str
    output: JSON


@dataclass(frozen=True, kw_only=True)
class Complete:
    """Ask the model; the reply is Completed, in a `partial` None when the model had not answered."""

    path: str
    instruction: str
    material: str


@dataclass(frozen=True, kw_only=True)
class LimitRate:
    """Limit later completions to these rates; the reply is None."""

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


@dataclass(frozen=True, kw_only=True)
class PutRecord:
    """Keep a value between calls; the reply is Found with its version."""

    key: str
    value: JSON


@dataclass(frozen=True, kw_only=True)
class GetRecord:
    """The reply is Found, with None if there is no such record."""

    key: str


@dataclass(frozen=True, kw_only=True)
class DeleteRecord:
    """The reply is None."""

    key: str


@dataclass(frozen=True, kw_only=True)
class ListRecords:
    """Find the keys with this prefix; the reply is Found with [key, version] of each, in the order of first puts."""

    prefix: str


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Ask a model for an agent; the reply is Generated."""

    within: str
    """The part or step that asks; empty outside of them."""
    place: int
    """Its number among the checkpoints there: 1, 2, 3 …"""
    system: str
    messages: Sequence[Mapping[str, JSON]] | None
    """In OpenAI's form; None for the conversation, which the reply then joins."""
    tools: Sequence[JSON] | None
    """Names of tools, and OpenAI's schemas of functions; None for the tools of the agent."""
    show: bool
    model: str | None
    parameters: Mapping[str, JSON] | None = None
    """Of chat completions, such as `temperature`."""


@dataclass(frozen=True, kw_only=True)
class RunCalls:
    """Run tools for an agent; the reply is Found with {text, failed} of each."""

    within: str
    place: int
    """Of the first of the calls that the agent made by itself: their ids are empty."""
    calls: Sequence[Mapping[str, JSON]]
    """{id, name, arguments} of each."""


@dataclass(frozen=True, kw_only=True)
class CallTool:
    """Run a tool or another agent as a step; the reply is Found with its value."""

    within: str
    place: int
    name: str
    arguments: Mapping[str, JSON]


@dataclass(frozen=True, kw_only=True)
class ReadMessages:
    """Read the conversation as it is before this place; the reply is Found with the messages in OpenAI's form."""

    within: str
    place: int


AskedOfTool: TypeAlias = Begin | BeginStep | EndStep | Complete | LimitRate | OpenFile | SaveArtifact
AskedOfAgent: TypeAlias = Generate | RunCalls | CallTool | ReadMessages
AskedOfRecords: TypeAlias = PutRecord | GetRecord | DeleteRecord | ListRecords
Asked: TypeAlias = AskedOfTool | AskedOfRecords | AskedOfAgent
"""The requests that a tool or agent may make of its worker."""


class CallHandler(Protocol):
    """Fulfils the tool's requests. Paths are relative to the call: 'step:load', 'part:3/step:read'.

    An exception raised here ends the call, unless the tool catches it, and `HostPool.call` raises it unchanged.
    Reports come one at a time, requests concurrently; both are cancelled when the call ends or moves to another host.
    """

    async def wait_for_place(self) -> None:
        """The call has not started: it waits until a process is free to run it."""

    async def go_on(self) -> None:
        """The wait is over: a process runs the call."""

    async def progress(self, done: float, total: float | None, message: str) -> None: ...

    async def log(self, level: str, message: str) -> None: ...

    async def plan(self, items: Sequence[tuple[str, str]]) -> None:
        """Takes text and status of each item: `pending`, `active`, `done` or `skipped`."""

    async def source(self, title: str, *, url: str | None, file_id: str | None, page: int | None) -> None: ...

    async def begin_step(self, path: str, name: str) -> Recorded | None:
        """Returns the value from an earlier attempt, or None when the step must run. Asked again if the step reruns."""

    async def end_step(self, path: str, output: JSON) -> None: ...

    async def complete(self, path: str, instruction: str, material: str) -> Completed | None: ...

    async def limit_rate(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        """Limit the later completions of this call to these rates; None sets no limit."""

    async def open_file(self, file_id: str) -> FileInfo:
        """Returns the file's record. Raises ToolError when the user has no such file."""

    async def save_artifact(self, name: str, mime: str, path: str) -> None:
        """Copy the file, which may be deleted as soon as this returns."""

    async def put_record(self, key: str, value: JSON) -> str:
        """Returns the version of the value."""

    async def get_record(self, key: str) -> JSON: ...

    async def delete_record(self, key: str) -> None: ...

    async def list_records(self, prefix: str) -> list[tuple[str, str]]:
        """Returns key and version of each, in the order of their first puts."""

    async def of_agent(self, asked: AskedOfAgent) -> Found | Generated:
        """Fulfils a request that only agents may make. Raises ToolError for a tool."""

    async def write(self, text: str, place: int, piece: int) -> None:
        """Adds a piece to the text of an agent's answer; piece 0 starts the text again."""


async def serve(handler: CallHandler, asked: Asked) -> Reply:
    """Fulfil a request of a tool. Raises what the handler raises."""
    match asked:
        case Begin():
            pass  # the attempt answers it
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
        case PutRecord() | GetRecord() | DeleteRecord() | ListRecords():
            return await _serve_record(handler, asked)
        case Generate() | RunCalls() | CallTool() | ReadMessages():
            return await handler.of_agent(asked)
        case _:
            assert_never(asked)
    return None


async def _serve_record(handler: CallHandler, asked: AskedOfRecords) -> Found | None:
    match asked:
        case PutRecord():
            return Found(value=await handler.put_record(asked.key, asked.value))
        case GetRecord():
            return Found(value=await handler.get_record(asked.key))
        case DeleteRecord():
            await handler.delete_record(asked.key)
        case ListRecords():
            return Found(value=[list(record) for record in await handler.list_records(asked.prefix)])
        case _:
            assert_never(asked)
    return None
