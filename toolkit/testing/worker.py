"""The worker of a test. Its records outlive an attempt, as a job's log outlives a process."""

import inspect
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from toolkit.errors import ToolError
from toolkit.testing.script import Script
from toolkit.tool import Tool
from toolkit.uploads import FileInfo
from toolkit.wire import JSON

Kind = Literal["step", "map", "complete", "model", "call"]
NAMED: Mapping[Kind, str] = {
    "step": "the step {!r}",
    "map": "a map",
    "complete": "a completion",
    "model": "a model call",
    "call": "a call of {!r}",
}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What was finished, or has failed with a sentence."""

    kind: Kind
    name: str
    output: JSON
    error: str | None = None

    def __str__(self) -> str:
        return NAMED[self.kind].format(self.name)


@dataclass(kw_only=True)
class Worker:
    """What a run has, and what it has recorded. Attempts use it from several threads."""

    script: Script
    tools: Mapping[str, Callable[..., Any]]
    files: Mapping[str, FileInfo]
    recorded: dict[str, Checkpoint] = field(default_factory=dict)
    """By path."""
    places: dict[tuple[str, int], Checkpoint] = field(default_factory=dict)
    """What an agent did at each place, by the enclosing part and the number within it."""
    artifacts: dict[str, bytes] = field(default_factory=dict)
    records: dict[str, JSON] = field(default_factory=dict)
    inner: dict[str, "Worker"] = field(default_factory=dict)
    """The workers of the tools that an agent called, by path."""
    failure: AssertionError | None = None
    """Why the test fails, even if the tool's code catches the exception."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def fail(self, sentence: str) -> AssertionError:
        """Returns what to raise."""
        self.failure = self.failure or AssertionError(sentence)
        return self.failure

    def expect(self, within: str, place: int, kind: Kind, name: str) -> None:
        """Raises AssertionError if an agent does not do the same at this place as before."""
        with self.lock:
            now = Checkpoint(kind=kind, name=name, output=None)
            before = self.places.setdefault((within, place), now)
        if (before.kind, before.name) != (kind, name):
            raise self.fail(
                f"checkpoint {place} was {before} before the crash, and is {now} after it: the code between "
                "checkpoints must do the same again"
            )

    def below(self, path: str) -> "Worker":
        """Returns the worker of a tool that an agent calls."""
        return self.inner.setdefault(path, Worker(script=self.script, tools=self.tools, files=self.files))

    def file(self, file_id: str) -> FileInfo:
        """Raises ToolError when there is no such file."""
        if file_id not in self.files:
            raise ToolError(f"There is no file {file_id!r}.")
        return self.files[file_id]

    def save(self, name: str, path: str) -> None:
        """Keep an artifact."""
        self.artifacts[name] = Path(path).read_bytes()

    def tool(self, name: str) -> Callable[..., Any]:
        """Raises AssertionError when the test has no such tool."""
        if name not in self.tools:
            raise self.fail(f"the tool {name!r} was called, which the test does not have: pass tools={{{name!r}: …}}")
        return self.tools[name]


async def value_of(function: Callable[..., Any], arguments: Mapping[str, JSON]) -> Any:
    """Returns the value of a test's function that replaces a tool."""
    returned: object | Awaitable[object] = function(**arguments)
    return await returned if inspect.isawaitable(returned) else returned


def content_of(value: JSON) -> str:
    """Returns a tool's value as the model reads it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_tool(function: Callable[..., Any]) -> bool:
    """Whether it is a `@tool` or `@agent`, which runs as in production, and not a function that replaces one."""
    return isinstance(function, Tool)
