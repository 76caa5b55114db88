"""The messages between a worker and its tool hosts: a union of records for each direction, encoded as JSON.

A receiver matches on the classes and ends in `assert_never`, so that mypy names each receiver that lacks a new one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from toolkit.catalogue import ToolSpec, spec_of
from toolkit.context import CallInfo
from toolkit.handler import Asked, Reply, Turn
from toolkit.uploads import FileInfo
from toolkit.wire import JSON, dump, with_length

# -- from the worker to a host


@dataclass(frozen=True, kw_only=True)
class StartCall:
    """Run a tool."""

    call: int
    """The number of the attempt, which every message about it carries."""
    tool: str
    arguments: dict[str, JSON]
    info: CallInfo


@dataclass(frozen=True, kw_only=True)
class CancelCall:
    """Ask the call to stop."""

    call: int


@dataclass(frozen=True, kw_only=True)
class InterruptCall:
    """Interrupt a call that ignored CancelCall."""

    call: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A tool's request was fulfilled."""

    call: int
    request: int
    reply: Reply


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A tool's request failed."""

    call: int
    request: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Ping:
    """Ask for a Pong, which shows that the loop runs."""


# -- from a host to the worker, about itself


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The tools are loaded."""

    catalogue: tuple[ToolSpec, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Pong:
    """The loop runs."""


@dataclass(frozen=True, kw_only=True)
class Stalled:
    """The loop is blocked, or with `over` was blocked until now."""

    seconds: float
    call: int | None
    """The call that blocks the loop; None when no call does."""
    over: bool


# -- from a host to the worker, about a call


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of the call."""

    call: int
    done: float
    total: float | None
    message: str


@dataclass(frozen=True, kw_only=True)
class Log:
    """A line of the call's log."""

    call: int
    level: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The call's plan: text and status of each item."""

    call: int
    items: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source that the call has used."""

    call: int
    title: str
    url: str | None
    file_id: str | None
    page: int | None


@dataclass(frozen=True, kw_only=True)
class Text:
    """A piece of an agent's answer."""

    call: int
    text: str
    place: int
    piece: int


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request of the tool; an Answer or a Refusal follows."""

    call: int
    request: int
    asked: Asked


@dataclass(frozen=True, kw_only=True)
class Abandon:
    """The tool no longer waits for this request."""

    call: int
    request: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """The tool returned."""

    call: int
    value: JSON


@dataclass(frozen=True, kw_only=True)
class Incomplete:
    """The tool stopped before its end, with a result."""

    call: int
    message: str
    result: JSON


@dataclass(frozen=True, kw_only=True)
class WrongArguments:
    """The arguments do not fit; `fields` has a sentence for each wrong one, by its path."""

    call: int
    message: str
    fields: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class FailedRequest:
    """The tool did not catch the error of a refused request."""

    call: int
    request: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Any other error, as a sentence."""

    call: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The call was cancelled."""

    call: int


ToHost: TypeAlias = StartCall | CancelCall | InterruptCall | Answer | Refusal | Ping
Report: TypeAlias = Progress | Log | Plan | Source | Text
Failure: TypeAlias = Incomplete | WrongArguments | FailedRequest | Failed | Stopped
End: TypeAlias = Result | Failure
OfCall: TypeAlias = Report | Request | Abandon | End
ToWorker: TypeAlias = Hello | Pong | Stalled | OfCall


def encode(message: ToHost | ToWorker) -> bytes:
    """Returns the message as bytes with their length in front. Raises MessageTooLarge, NotJson."""
    fields = _tagged(message)
    if isinstance(message, Request):
        fields["asked"] = _tagged(message.asked)
    elif isinstance(message, Answer) and message.reply is not None:
        fields["reply"] = _tagged(message.reply)
    return with_length(dump(fields))


def for_host(body: bytes) -> ToHost:
    """Returns the message of a worker. Raises ValueError, LookupError or TypeError for an invalid one."""
    message: ToHost = _decoded(_parsed(body), TO_HOST)
    return message


def for_worker(body: bytes) -> ToWorker:
    """Returns the message of a host. Raises ValueError, LookupError or TypeError for an invalid one."""
    message: ToWorker = _decoded(_parsed(body), TO_WORKER)
    return message


DECODER = json.JSONDecoder()
TAG = "t"
"""The key under which a record's class name is sent."""


def _tagged(record: object) -> dict[str, JSON]:
    return {TAG: type(record).__name__, **vars(record)}


def _parsed(body: bytes) -> JSON:
    """Returns what json.loads does, but skips its detection of encoding and white space."""
    text = body.decode()
    value, end = DECODER.raw_decode(text)
    if end < len(text):
        raise ValueError(f"{len(text) - end} characters follow a message")
    return value


def _decoded(fields: JSON, kinds: Mapping[str, type[Any]]) -> Any:
    if not isinstance(fields, dict):
        raise TypeError(f"a message is an object, not a {type(fields).__name__}")
    kind = kinds[fields.pop(TAG)]
    if fields.keys() != kind.__dataclass_fields__.keys():
        raise TypeError(f"a {kind.__name__} has other fields than {', '.join(fields)}")
    for name, read in INNER.get(kind, NOTHING):
        fields[name] = read(fields[name])
    record = object.__new__(kind)
    record.__dict__.update(fields)  # three times as fast as a frozen __init__
    return record


def _by_name(union: Any) -> dict[str, type[Any]]:
    return {kind.__name__: kind for kind in get_args(union) if kind is not type(None)}


def _read_catalogue(specs: JSON) -> tuple[ToolSpec, ...]:
    return tuple(spec_of(spec) for spec in specs)


def _read_info(info: JSON) -> CallInfo:
    files = tuple(FileInfo(**file) for file in info["files"])
    sites = None if info["named_sites"] is None else tuple(info["named_sites"])
    turn = None if info["turn"] is None else Turn(**info["turn"])
    return CallInfo(**{**info, "files": files, "named_sites": sites, "turn": turn})


def _read_asked(fields: JSON) -> Asked:
    asked: Asked = _decoded(fields, ASKED)
    return asked


def _read_reply(fields: JSON) -> Reply:
    reply: Reply = None if fields is None else _decoded(fields, REPLIES)
    return reply


TO_HOST, TO_WORKER, ASKED, REPLIES = _by_name(ToHost), _by_name(ToWorker), _by_name(Asked), _by_name(Reply)
NOTHING: tuple[tuple[str, Callable[[JSON], Any]], ...] = ()
INNER: dict[type[Any], tuple[tuple[str, Callable[[JSON], Any]], ...]] = {
    Hello: (("catalogue", _read_catalogue), ("problems", tuple)),
    StartCall: (("info", _read_info),),
    Request: (("asked", _read_asked),),
    Answer: (("reply", _read_reply),),
}
"""The fields that hold records, and how each is read."""
