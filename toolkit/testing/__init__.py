"""Runs a tool or an agent inside a test: in this process, with a scripted model and files of the test.

    run = await testing.run(support, "Hi", model=[Call("search_documents", query="Hi"), "Hello."],
                            tools={"search_documents": lambda query: []}, crash_after=1)
    assert run.text == "Hello."

The contexts are those of production, with a worker that keeps its records in memory. The separate host process, its
limits of memory and time, and rates are not simulated.
"""

import inspect
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from toolkit.agent import Agent
from toolkit.agent_context import Call, Message, Reply
from toolkit.artifacts import mime_of
from toolkit.context import CallInfo
from toolkit.testing.attempt import Attempt, Crash, Source, turn_of
from toolkit.testing.script import Answer, Model, Prompt, Script
from toolkit.testing.worker import Worker
from toolkit.tool import Tool
from toolkit.uploads import FileInfo
from toolkit.wire import JSON, plain

__all__ = [
    "Answer",
    "Call",
    "Crash",
    "Crasher",
    "Message",
    "Model",
    "Prompt",
    "Reply",
    "Run",
    "Runner",
    "Source",
    "crash_everywhere",
    "run",
]

Files: TypeAlias = Mapping[str, bytes | str | Path] | Iterable[Path]
"""Contents (a str is text) or paths by name, or paths of files that keep their names."""
MAX_CRASHES = 1000


@dataclass(frozen=True, kw_only=True)
class Run:
    """The result of a run. After a crash: of the last attempt, with the `prompts` and `artifacts` of all."""

    value: JSON
    """What the tool returned, as JSON; None for an agent."""
    text: str
    """An agent's answer."""
    progress: Sequence[tuple[float, float | None, str]]
    """Done, total and message of each report."""
    logs: Sequence[tuple[str, str]]
    """Level and message of each line."""
    artifacts: Mapping[str, bytes]
    steps: Sequence[str]
    """Names of the steps and parts that ran, in order; not of those that were read back."""
    checkpoints: int
    """The number of recorded checkpoints: steps, parts, model calls, tool calls."""
    prompts: Sequence[Prompt]
    """What the model was asked."""
    plan: Sequence[tuple[str, str]]
    """Text and status of each item: `pending`, `active`, `done` or `skipped`."""
    sources: Sequence[Source]
    records: Mapping[str, JSON]
    """What `ctx.records` holds."""

    @property
    def model_calls(self) -> int:
        """How often the model was asked."""
        return len(self.prompts)


async def run(
    tool: Tool[..., Any],
    *values: Any,
    model: Model = (),
    tools: Mapping[str, Callable[..., Any]] | None = None,
    files: Files = (),
    history: Sequence[Message] = (),
    records: Mapping[str, JSON] | None = None,
    user: str = "local",
    offline: bool = False,
    crash_after: int | None = None,
    directory: Path | None = None,
    arguments: Mapping[str, Any] | None = None,
    **named: Any,
) -> Run:
    """Run a tool with its arguments, or an agent with a message and its settings.

    Values may be positional; use `arguments` for names that this function itself uses. A file is a name from `files` or
    a Path. model: one answer for each model call (a string, a Call, a list of them, a Reply, a ToolError, a function of
    the Prompt), or one function. tools: the functions, tools and agents that an agent may call. history: earlier
    messages. records: the initial content of `ctx.records`. directory: where files and `storage` are, by default a
    temporary directory.

    crash_after: interrupt the run after this many finished checkpoints, and run the function again with the recorded
    values; then run it once more with all values recorded. Raises AssertionError if finished work is done again, or if
    value or text differ. Otherwise raises what the tool raises.
    """
    with tempfile.TemporaryDirectory(prefix="testing-") as temporary:
        place = Path(temporary) if directory is None else directory
        given = {**_arguments(tool, values), **(arguments or {}), **named}
        found = _files(files, given, place)
        worker = Worker(
            script=Script(model),
            tools=dict(tools or {}),
            files={file.id: file for file in found},
            records=dict(records or {}),
        )
        call = _Call(tool, worker, given, history, _info(tuple(found), place, user=user, offline=offline))
        attempt, value = await call.crashing(crash_after) if crash_after is not None else await call.attempt()
    return Run(
        value=value,
        text=attempt.text,
        progress=attempt.progress_reports,
        logs=attempt.lines,
        artifacts=worker.artifacts,
        steps=attempt.steps,
        checkpoints=sum(checkpoint.error is None for checkpoint in worker.recorded.values()),
        prompts=worker.script.prompts,
        plan=attempt.items,
        sources=attempt.sources,
        records=worker.records,
    )


async def crash_everywhere(tool: Tool[..., Any], *values: Any, **options: Any) -> list[Run]:
    """Run a tool or agent without a crash, then once for each checkpoint with a crash after it.

    Accepts the arguments of `run`. Raises AssertionError when a run returns another value or text than the first one.
    """
    runs = [await run(tool, *values, **options)]
    for crash_after in range(1, min(runs[0].checkpoints, MAX_CRASHES) + 1):
        one = await run(tool, *values, crash_after=crash_after, **options)
        _expect_same(runs[0], one, f"after a crash behind checkpoint {crash_after}")
        runs.append(one)
    return runs


Runner: TypeAlias = Callable[..., Awaitable[Run]]
"""The type of `run`, for tests that take the fixture `run_tool`."""
Crasher: TypeAlias = Callable[..., Awaitable[list[Run]]]
"""The type of `crash_everywhere`, for tests that take the fixture."""


@dataclass(frozen=True)
class _Call:
    """A tool, its arguments and the worker, for any number of attempts."""

    tool: Tool[..., Any]
    worker: Worker
    arguments: Mapping[str, Any]
    history: Sequence[Message]
    info: CallInfo

    async def attempt(self, crash_after: int | None = None) -> tuple[Attempt, JSON]:
        given = plain(dict(self.arguments))
        info = self.info
        if isinstance(self.tool, Agent):
            text = given.pop("text", "")
            info = replace(info, turn=turn_of(self.tool, str(text), tuple(self.worker.tools)))
        with tempfile.TemporaryDirectory(prefix="scratch-") as scratch:
            info = replace(info, scratch=scratch)
            attempt = Attempt(self.tool, self.worker, info, history=self.history, crash_after=crash_after)
            try:
                value = await attempt.run(given)
            except (Exception, Crash) as error:
                if self.worker.failure is not None:
                    raise self.worker.failure from None
                if attempt.crashed:  # whatever a framework has made of it
                    raise Crash from error
                raise
        if self.worker.failure is not None:
            raise self.worker.failure
        return attempt, value

    async def crashing(self, crash_after: int) -> tuple[Attempt, JSON]:
        if crash_after < 1:
            raise ValueError(f"crash_after is {crash_after!r}: it counts finished checkpoints, from 1")
        try:
            whole, _ = await self.attempt(crash_after)
        except Crash:
            pass
        else:
            raise AssertionError(f"crash_after={crash_after}: the run has {len(whole.finished)} checkpoints")
        before = set(self.worker.recorded)
        attempt, value = await self.attempt()
        self._expect_read_back(before, attempt)
        known = attempt.asked | set(self.worker.recorded)
        asked = self.worker.script.prompts.copy()
        replay, again = await self.attempt()
        if again != value or replay.text != attempt.text:
            was, now = (value, again) if again != value else (attempt.text, replay.text)
            raise AssertionError(
                f"with everything recorded, the result is {_short(now)}, and was {_short(was)}: what the code between "
                "checkpoints computes must come from arguments and checkpoints alone"
            )
        if new := sorted(replay.asked - known):
            raise AssertionError(f"with everything recorded, {new[0]!r} was asked for, which is new: {SAME}")
        self.worker.script.prompts[:] = asked
        return attempt, value

    def _expect_read_back(self, before: set[str], attempt: Attempt) -> None:
        for path in sorted(before):
            parts = path.split("/")
            around = {"/".join(parts[:count]) for count in range(1, len(parts))} & before
            steps = {one for one in around if self.worker.recorded[one].kind == "step"}
            if not ({path} | steps) & attempt.asked:
                checkpoint = self.worker.recorded[path]
                raise AssertionError(f"{checkpoint} was finished, and not read back after the crash: {SAME}")


SAME = "a checkpoint must have the same name and contents whenever the function runs"


def _expect_same(first: Run, other: Run, when: str) -> None:
    for was, now in ((first.value, other.value), (first.text, other.text)):
        if was != now:
            raise AssertionError(f"{when}, the result is {_short(now)}, and without it {_short(was)}")


def _short(value: JSON) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _arguments(tool: Tool[..., Any], values: Sequence[Any]) -> dict[str, Any]:
    """Returns positional values by the names of the parameters; an agent's first one is the message."""
    names = list(inspect.signature(tool.function).parameters)
    if isinstance(tool, Agent):
        names[0] = "text"
    elif tool.spec.takes_context:
        del names[0]
    if len(values) > len(names):
        raise TypeError(f"{tool.name} takes {len(names)} values, not {len(values)}")
    return dict(zip(names, values, strict=False))


def _files(files: Files, arguments: dict[str, Any], place: Path) -> list[FileInfo]:
    """Returns the files of the run; a path among the arguments becomes the name of its file."""
    named = dict(files) if isinstance(files, Mapping) else {path.name: path for path in files}
    for name, value in arguments.items():
        arguments[name] = _named(value, named)
    return [_file(name, content, place / "files") for name, content in named.items()]


def _named(value: Any, files: dict[str, bytes | str | Path]) -> Any:
    if isinstance(value, list):
        return [_named(one, files) for one in value]
    if not isinstance(value, Path):
        return value
    files[value.name] = value
    return value.name


def _file(name: str, content: bytes | str | Path, directory: Path) -> FileInfo:
    path = content if isinstance(content, Path) else directory / name
    if not isinstance(content, Path):
        directory.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return FileInfo(id=name, name=name, mime=mime_of(name), size=path.stat().st_size, path=str(path.absolute()))


def _info(files: tuple[FileInfo, ...], place: Path, *, user: str, offline: bool) -> CallInfo:
    return CallInfo(
        thread_id="test-thread",
        user=user,
        idempotency_key="test-key",
        files=files,
        scratch="",
        storage=str(place / "storage"),
        offline=offline,
    )
