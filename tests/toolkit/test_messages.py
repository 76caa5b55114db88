"""Messages between a worker and its hosts, there and back."""

from typing import Any, get_args

import pytest

from toolkit import messages
from toolkit.catalogue import AgentSpec, ToolSpec
from toolkit.context import CallInfo
from toolkit.errors import NotJson
from toolkit.handler import (
    Asked,
    Begin,
    BeginStep,
    CallTool,
    Complete,
    Completed,
    DeleteRecord,
    EndStep,
    Found,
    Generate,
    Generated,
    GetRecord,
    LimitRate,
    ListRecords,
    OpenFile,
    PutRecord,
    ReadMessages,
    Recorded,
    Reply,
    RunCalls,
    SaveArtifact,
    Turn,
)
from toolkit.messages import ToHost, ToWorker
from toolkit.uploads import FileInfo
from toolkit.wire import LENGTH, MessageTooLarge

FILE = FileInfo(id="file_1", name="ü.csv", mime="text/csv", size=3, path="/f")
INFO = CallInfo(
    thread_id=None,
    user="ada",
    idempotency_key="k",
    files=(FILE,),
    scratch="/s",
    storage="/t",
    named_sites=("example.org",),
    turn=Turn(text="Hi", at=1.5, tools=["echo"], indexed=True),
)
SPEC = ToolSpec(name="echo", description="Echo.", parameters={"properties": {"t": {"type": "string"}}}, run_in="loop")
ANSWERING = AgentSpec(
    name="shout", description="Shout.", parameters={}, run_in="loop", tools=("echo",), starters=("Hi",)
)
LIKE_A_MESSAGE = {"t": "Ping", "number": [1, None, {"t": "Recorded", "output": 2}]}

REPLIES: tuple[Reply, ...] = (
    None,
    Recorded(output=None),
    Recorded(output=LIKE_A_MESSAGE),
    FILE,
    Completed(text="ü"),
    Found(value=LIKE_A_MESSAGE),
    Generated(text="ü", calls=[{"id": "call_1_0", "name": "echo", "arguments": {}}], finish_reason="tool_calls"),
)
FOR_HOSTS: list[ToHost] = [
    messages.StartCall(call=1, tool="echo", arguments=LIKE_A_MESSAGE, info=INFO),
    messages.CancelCall(call=1),
    messages.InterruptCall(call=1),
    messages.Refusal(call=1, request=2, message="No."),
    messages.Ping(),
    *(messages.Answer(call=1, request=2, reply=reply) for reply in REPLIES),
]
FOR_WORKERS: list[ToWorker] = [
    messages.Hello(catalogue=(SPEC, ANSWERING), problems=("A sentence.",)),
    messages.Pong(),
    messages.Stalled(seconds=0.5, call=None, over=False),
    messages.Progress(call=1, done=1.5, total=None, message="half"),
    messages.Plan(call=1, items=[["read", "done"], ["write", "active"]]),
    messages.Source(call=1, title="Report", url=None, file_id="file_1", page=3),
    messages.Text(call=1, text="Hello", place=2, piece=0),
    messages.Log(call=1, level="info", message="ü"),
    messages.Abandon(call=1, request=2),
    messages.Result(call=1, value=LIKE_A_MESSAGE),
    messages.Incomplete(call=1, message="no more", result=LIKE_A_MESSAGE),
    messages.WrongArguments(call=1, message="No.", fields={"a": "No."}),
    messages.FailedRequest(call=1, request=2, message="No."),
    messages.Failed(call=1, message="No."),
    messages.Stopped(call=1),
    *(
        messages.Request(call=1, request=2, asked=asked)
        for asked in (
            Begin(),
            BeginStep(path="step:a", name="a"),
            EndStep(path="step:a", output=LIKE_A_MESSAGE),
            Complete(path="complete:1", instruction="i", material="m"),
            LimitRate(requests_per_minute=None, tokens_per_minute=1.5),
            OpenFile(file_id="file_1"),
            SaveArtifact(name="a.csv", mime="text/csv", path="/a"),
            PutRecord(key="ü", value=LIKE_A_MESSAGE),
            GetRecord(key="ü"),
            DeleteRecord(key="ü"),
            ListRecords(prefix="ü"),
            Generate(within="", place=1, system="s", messages=None, tools=["echo"], show=True, model=None),
            RunCalls(within="", place=2, calls=[{"id": "", "name": "echo", "arguments": LIKE_A_MESSAGE}]),
            CallTool(within="map:1/part:0", place=1, name="echo", arguments=LIKE_A_MESSAGE),
            ReadMessages(within="", place=3),
        )
    ),
]


def body(message: Any) -> bytes:
    return messages.encode(message)[LENGTH.size :]


@pytest.mark.parametrize("message", FOR_HOSTS, ids=repr)
def test_a_host_reads_what_its_worker_wrote(message: ToHost) -> None:
    assert messages.for_host(body(message)) == message


@pytest.mark.parametrize("message", FOR_WORKERS, ids=repr)
def test_a_worker_reads_what_a_host_wrote(message: ToWorker) -> None:
    assert messages.for_worker(body(message)) == message


def test_no_message_is_left_out_here() -> None:
    """A new one must cross the wire above."""
    assert {type(one) for one in FOR_HOSTS} == set(get_args(ToHost))
    assert {type(one) for one in FOR_WORKERS} == set(get_args(ToWorker))
    assert {type(one.asked) for one in FOR_WORKERS if isinstance(one, messages.Request)} == set(get_args(Asked))
    assert {type(one.reply) for one in FOR_HOSTS if isinstance(one, messages.Answer)} == set(get_args(Reply))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"t":null}',
        b'{"t":"Nothing"}',
        b'{"t":"Ping"}',  # the other way
        b'{"t":"Stopped"}',
        b'{"t":"Stopped","call":1,"more":2}',
        b'{"t":"Hello","catalogue":[{"name":"a"}],"problems":[]}',
        b'{"t":"Hello","catalogue":1,"problems":[]}',
        b'{"t":"Request","call":1,"request":2,"asked":{"t":"Pong"}}',
        b'{"t":"Request","call":1,"request":2}',
        b'{"t":["Pong"]}',
    ],
)
def test_what_is_no_message_is_refused_as_its_reader_expects(broken: bytes) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        messages.for_worker(broken)


def test_a_value_that_cannot_cross_is_refused_before_it_is_sent() -> None:
    with pytest.raises(NotJson):
        messages.encode(messages.Result(call=1, value=object()))
    with pytest.raises(MessageTooLarge):
        messages.encode(messages.Result(call=1, value="x" * 5_000_000))
